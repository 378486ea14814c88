/** @file DDPM's ancestral sampling: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020). */
import { z } from "zod";
import { parseSchedulerConfig, requireNoise, visited } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { originalSample } from "./sample.ts";
import type { SchedulerFactory } from "./scheduler.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	variance_type: z.enum(["fixed_small", "fixed_large"]).default("fixed_small"),
	set_alpha_to_one: z.unknown().optional(),
});

/**
 * DDPMScheduler of diffusers. One step, equations 6 and 7 with a = alphaBar at t, p = alphaBar at the next timestep and beta = 1 - a / p:
 * x' = sqrt(p) beta / (1 - a) x_0 + sqrt(a / p) (1 - p) / (1 - a) x + sqrt(variance) noise, without noise at t = 0.
 */
export function ddpm(json: Record<string, unknown>, where: string): SchedulerFactory {
	const config = parseSchedulerConfig(schema, json, where);
	const schedule = noiseSchedule(config);
	return ({ steps }) => {
		const { timesteps, previous } = visited(config, steps, "list");
		return {
			name: "DDPMScheduler",
			config,
			timesteps,
			needsNoise: (t) => t > 0,
			addNoise: schedule.addNoise,
			step(modelOutput, t, sample, noise) {
				const a = schedule.alphaBar(t);
				const p = schedule.alphaBar(previous(t));
				// Rounded as in diffusers: near t = 0 the quotient is so close to 1 that its last bit shows.
				const beta = 1 - Math.fround(a / p);
				const original = originalSample(config, Math.sqrt(a), Math.sqrt(1 - a));
				const ofOriginal = (Math.sqrt(p) * beta) / (1 - a);
				const ofSample = (Math.sqrt(1 - beta) * (1 - p)) / (1 - a);
				const variance = config.variance_type === "fixed_large" ? beta : Math.max(((1 - p) / (1 - a)) * beta, 1e-20);
				const deviation = Math.sqrt(variance);
				const draw = t > 0 ? requireNoise(noise, t) : undefined;
				return sample.map((x, i) => {
					const mean = ofOriginal * original(modelOutput[i], x) + ofSample * x;
					return draw ? mean + deviation * draw[i] : mean;
				});
			},
		};
	};
}
