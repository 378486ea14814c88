/** @file Control without an attacker: random signs of the same size as a sign attack. */
import { z } from "zod";
import { row, tensor } from "../tensor/tensor.ts";
import type { Attack } from "./attack.ts";
import { criterionName, presetName } from "./options.ts";

export const noiseFields = {
	name: z.literal("noise"),
	preset: presetName,
	norm: z.literal("linf"),
	target: z.literal("none"),
	criterion: criterionName,
};

export type NoiseOptions = z.output<z.ZodObject<typeof noiseFields>> & { epsilon: number };

/** x' = x + epsilon * s with independent signs s: an attack that does no better has learned nothing from its gradient. */
export const noise = (options: NoiseOptions): Attack<NoiseOptions> => ({
	options,
	async perturb({ images, random, progress }) {
		const moved = images.data.slice();
		for (let n = 0; n < images.dims[0]; n++) {
			const pixels = row(tensor(moved, images.dims), n).data;
			const stream = random(n);
			for (let i = 0; i < pixels.length; i++) pixels[i] += stream.uniform() < 0.5 ? -options.epsilon : options.epsilon;
			progress((n + 1) / images.dims[0]);
		}
		return tensor(moved, images.dims);
	},
});
