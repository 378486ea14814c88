/** @file Option fields that several attacks share, as zod schemas. */
import { z } from "zod";
import { CRITERIA } from "./criteria.ts";
import { PRESETS } from "./presets.ts";
import { LABEL_RULES, TARGET_RULES } from "./targets.ts";
import { UNBOUNDED } from "./threat-model.ts";

/** A non-negative number, also written as a fraction: 0.1 or "8/255". */
export const pixelAmount = z
	.union([
		z.number(),
		z.literal("unbounded").transform(() => UNBOUNDED),
		z
			.string()
			.regex(/^\d+(\.\d+)?\s*\/\s*\d+(\.\d+)?$/, 'expected a number or a fraction such as "8/255"')
			.transform((text) => {
				const [numerator, denominator] = text.split("/").map(Number);
				return numerator / denominator;
			}),
	])
	.pipe(z.number().nonnegative())
	.describe('amount in pixels of [0, 1], as a number or a fraction such as "8/255"');

export const lossName = z
	.enum(["cross-entropy", "set-cross-entropy", "bce", "margin", "set-margin", "ranking", "dlr"])
	.describe("loss that the attack raises (or lowers, if targeted)");
export const labelRule = z.enum(LABEL_RULES).describe("labels of the loss of an untargeted attack");
export const targetRule = z
	.union([z.enum(["none", ...TARGET_RULES]), z.strictObject({ label: z.string() }), z.strictObject({ labels: z.array(z.string()).min(1) })])
	.describe("none: untargeted; otherwise how the target label is chosen, or which labels are the targets");
export const topK = z.int().positive().exactOptional().describe("k of the loss ranking and of the criterion top-k-lost; default 3");
export const eotSamples = z
	.int()
	.positive()
	.exactOptional()
	.describe("samples that a gradient is the mean of, against a randomised classifier; default 1");
export const criterionName = z.enum(CRITERIA).describe("when the attack counts as successful");
export const presetName = z.enum(PRESETS).describe("whose defaults fill the options that are not given");
