/** @file DDIM: Song, Meng and Ermon, "Denoising diffusion implicit models" (2021). */
import { z } from "zod";
import { parseSchedulerConfig, requireNoise, visited } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { originalSample } from "./sample.ts";
import type { SchedulerFactory } from "./scheduler.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	/** Whether the step behind the last is the clean sample, or timestep 0 once more. */
	set_alpha_to_one: z.boolean().default(true),
	skip_prk_steps: z.unknown().optional(),
	variance_type: z.unknown().optional(),
});

/**
 * DDIMScheduler of diffusers. One step, equation 12 with a = alphaBar at t and p = alphaBar at the next timestep:
 * x' = sqrt(p) x_0 + sqrt(1 - p - sigma^2) epsilon + sigma noise, sigma = eta sqrt((1 - p) / (1 - a) (1 - a / p)).
 */
export function ddim(json: Record<string, unknown>, where: string): SchedulerFactory {
	const config = parseSchedulerConfig(schema, json, where);
	const schedule = noiseSchedule(config);
	return ({ steps, eta = 0 }) => {
		const { timesteps, previous } = visited(config, steps, "stride");
		return {
			name: "DDIMScheduler",
			config,
			timesteps,
			needsNoise: () => eta > 0,
			addNoise: schedule.addNoise,
			step(modelOutput, t, sample, noise) {
				const a = schedule.alphaBar(t);
				const before = previous(t);
				const p = before >= 0 || config.set_alpha_to_one ? schedule.alphaBar(before) : schedule.alphaBar(0);
				const rootA = Math.sqrt(a);
				const rootB = Math.sqrt(1 - a);
				const sigma = eta * Math.sqrt(((1 - p) / (1 - a)) * (1 - Math.fround(a / p)));
				const direction = Math.sqrt(1 - p - sigma * sigma);
				const original = originalSample(config, rootA, rootB);
				const rootP = Math.sqrt(p);
				// diffusers takes epsilon from the prediction itself, except for "sample", where it follows from x_0 before clipping.
				const epsilon = {
					epsilon: (output: number) => output,
					sample: (output: number, x: number) => (x - rootA * output) / rootB,
					v_prediction: (output: number, x: number) => rootA * output + rootB * x,
				}[config.prediction_type];
				const draw = eta > 0 ? requireNoise(noise, t) : undefined;
				return sample.map((x, i) => {
					const mean = rootP * original(modelOutput[i], x) + direction * epsilon(modelOutput[i], x);
					return draw ? mean + sigma * draw[i] : mean;
				});
			},
		};
	};
}
