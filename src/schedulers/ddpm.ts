/** @file DDPM's ancestral sampling: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020). */
import { z } from "zod";
import { schedulerClass, schedulerOf, visited } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { clipFields, originalSample } from "./sample.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	...clipFields,
	variance_type: z.enum(["fixed_small", "fixed_large"]).default("fixed_small"),
});

/**
 * DDPMScheduler of diffusers. One step, equations 6 and 7 with a = alphaBar at t, p = alphaBar at the next timestep and beta = 1 - a / p:
 * x' = sqrt(p) beta / (1 - a) x_0 + sqrt(a / p) (1 - p) / (1 - a) x + sqrt(variance) noise, without noise at t = 0.
 */
export const ddpm = schedulerClass(schema, (config) => {
	const schedule = noiseSchedule(config);
	return (options) => {
		const { timesteps } = visited(config, options);
		return schedulerOf({
			name: "DDPMScheduler",
			config,
			timesteps,
			needsNoise: (i) => timesteps[i] > 0,
			addNoise: (sample, noise, i) => schedule.addNoise(sample, noise, timesteps[i]),
			stepAt: () => (i, modelOutput, sample, noise) => {
				const a = schedule.alphaBar(timesteps[i]);
				const p = schedule.alphaBar(timesteps[i + 1] ?? -1);
				// Rounded as in diffusers: near t = 0 the quotient is so close to 1 that its last bit shows.
				const beta = 1 - Math.fround(a / p);
				const original = originalSample(config, { a: Math.sqrt(a), b: Math.sqrt(1 - a) }, modelOutput, sample);
				const ofOriginal = (Math.sqrt(p) * beta) / (1 - a);
				const ofSample = (Math.sqrt(1 - beta) * (1 - p)) / (1 - a);
				const variance = config.variance_type === "fixed_large" ? beta : Math.max(((1 - p) / (1 - a)) * beta, 1e-20);
				const deviation = Math.sqrt(variance);
				const draw = timesteps[i] > 0 ? noise : undefined;
				return original.map((x, n) => {
					const mean = ofOriginal * x + ofSample * sample[n];
					return draw ? mean + deviation * draw[n] : mean;
				});
			},
		});
	};
});
