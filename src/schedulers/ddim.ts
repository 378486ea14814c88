/** @file DDIM: Song, Meng and Ermon, "Denoising diffusion implicit models" (2021). */
import { z } from "zod";
import { schedulerClass, schedulerOf, visited } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { clipFields, originalSample, predictedNoise } from "./sample.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	...clipFields,
	/** Whether the step behind the last is the clean sample, or timestep 0 once more. */
	set_alpha_to_one: z.boolean().default(true),
});

/**
 * DDIMScheduler of diffusers. One step, equation 12 with a = alphaBar at t and p = alphaBar at the next timestep:
 * x' = sqrt(p) x_0 + sqrt(1 - p - sigma^2) epsilon + sigma noise, sigma = eta sqrt((1 - p) / (1 - a) (1 - a / p)).
 * A number of steps goes back by a constant stride, even where that is not in the list of timesteps.
 */
export const ddim = schedulerClass(schema, (config) => {
	const schedule = noiseSchedule(config);
	return ({ eta = 0, ...options }) => {
		const { timesteps, stride } = visited(config, options);
		const previous = (i: number) => (typeof options.steps === "number" ? timesteps[i] - stride : (timesteps[i + 1] ?? -1));
		return schedulerOf({
			name: "DDIMScheduler",
			config,
			timesteps,
			needsNoise: () => eta > 0,
			addNoise: (sample, noise, i) => schedule.addNoise(sample, noise, timesteps[i]),
			stepAt: () => (i, modelOutput, sample, noise) => {
				const a = schedule.alphaBar(timesteps[i]);
				const before = previous(i);
				const p = before >= 0 || config.set_alpha_to_one ? schedule.alphaBar(before) : schedule.alphaBar(0);
				const scales = { a: Math.sqrt(a), b: Math.sqrt(1 - a) };
				const sigma = eta * Math.sqrt(((1 - p) / (1 - a)) * (1 - Math.fround(a / p)));
				const direction = Math.sqrt(1 - p - sigma * sigma);
				const rootP = Math.sqrt(p);
				const original = originalSample(config, scales, modelOutput, sample);
				// As in diffusers, the direction does not know of clipping.
				const epsilon = predictedNoise(config, scales, modelOutput, sample);
				return original.map((x, n) => {
					const mean = rootP * x + direction * epsilon[n];
					return noise ? mean + sigma * noise[n] : mean;
				});
			},
		});
	};
});
