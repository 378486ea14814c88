/** @file Fast gradient (sign) method: one step of size epsilon (Goodfellow et al., ICLR 2015, arXiv 1412.6572). */
import { z } from "zod";
import { row, tensor } from "../tensor/tensor.ts";
import { step } from "./ascent.ts";
import type { Attack } from "./attack.ts";
import { criterionName, eotSamples, labelRule, lossName, presetName, targetRule } from "./options.ts";
import { NORMS } from "./threat-model.ts";

export const fgsmFields = {
	name: z.literal("fgsm"),
	preset: presetName,
	norm: z.enum(NORMS),
	loss: lossName,
	labels: labelRule,
	eot: eotSamples,
	target: targetRule,
	criterion: criterionName,
};

export type FgsmOptions = z.output<z.ZodObject<typeof fgsmFields>> & { epsilon: number };

/** x' = x + epsilon * sign(g) with sign(0) = 0 (L-infinity), or x + epsilon * g / |g| (L2); g = d objective / dx. */
export const fgsm = (options: FgsmOptions): Attack<FgsmOptions> => ({
	options,
	async perturb({ images, objective, progress }) {
		const rows = Array.from({ length: images.dims[0] }, (_, n) => n);
		const { gradient } = await objective(rows, images);
		const moved = tensor(images.data.slice(), images.dims);
		for (const n of rows) step(row(moved, n).data, row(gradient, n).data, options.epsilon, options.norm);
		progress(1);
		return moved;
	},
});
