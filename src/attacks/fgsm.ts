/** @file Fast gradient sign method: one step of size epsilon (Goodfellow et al., ICLR 2015, arXiv 1412.6572). */
import { z } from "zod";
import { tensor } from "../tensor/tensor.ts";
import type { Attack } from "./attack.ts";
import { criterionName, labelRule, lossName, presetName, targetRule } from "./options.ts";

export const fgsmFields = {
	name: z.literal("fgsm"),
	preset: presetName,
	norm: z.literal("linf"),
	loss: lossName,
	labels: labelRule,
	target: targetRule,
	criterion: criterionName,
};

export type FgsmOptions = z.output<z.ZodObject<typeof fgsmFields>> & { epsilon: number };

/** x' = x + epsilon * sign(d objective / dx), with sign(0) = 0. */
export const fgsm = (options: FgsmOptions): Attack<FgsmOptions> => ({
	options,
	async perturb({ images, objective, progress }) {
		const rows = Array.from({ length: images.dims[0] }, (_, n) => n);
		const { gradient } = await objective(rows, images);
		progress(1);
		const moved = images.data.map((v, i) => v + options.epsilon * Math.sign(gradient.data[i]));
		return tensor(moved, images.dims);
	},
});
