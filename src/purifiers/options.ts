/** @file Options of purifiers: reading them, and those that every text-guided purifier has. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { RESAMPLING } from "../schedulers/resampling.ts";
import { INPAINT_SCHEDULERS } from "./pipelines/inpaint.ts";

export const guidedFields = {
	steps: z.int().positive().default(20).describe("denoising steps of the whole schedule"),
	strength: z.number().positive().max(1).describe("1 paints from pure noise; below, from the noised image, with that share of the steps"),
	guidance: z.number().nonnegative().default(7.5).describe("weight of the prompt (classifier-free guidance); 1 and below: none"),
	negativePrompt: z.string().default("").describe("what guidance leads away from"),
	scheduler: z.enum(INPAINT_SCHEDULERS).default("ddim").describe("which sampler; model: the checkpoint's own (docs/schedulers.md)"),
	eta: z.number().min(0).max(1).default(0).describe("noise of DDIM's steps: 0 is deterministic"),
};

/** RePaint, where what is known is put back after every step. */
export const resampleField = z
	.strictObject({
		jumpLength: z.int().positive().default(RESAMPLING.jumpLength).describe("steps of a jump back"),
		jumpSamples: z.int().positive().default(RESAMPLING.jumpSamples).describe("how often every stretch is painted"),
	})
	.optional();

/** Options with their defaults; throws `config` with every fault. */
export function parseOptions<S extends z.ZodType>(schema: S, options: z.input<S>, where: string): z.output<S> {
	const result = schema.safeParse(options);
	if (result.success) return result.data;
	throw new KintsugiError("config", {
		where,
		expected: "options of this purifier",
		found: result.error.issues.map((issue) => [issue.path.join("."), issue.message].filter(Boolean).join(": ")).join("; "),
		fix: "correct or remove them",
	});
}
