/** @file Sampling of latent consistency models: Luo et al., "Latent consistency models" (2023), algorithm 3. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { schedulerClass, schedulerOf } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { clipFields, originalSample } from "./sample.ts";
import type { LoopOptions } from "./scheduler.ts";
import { falling, skipped } from "./timesteps.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	...clipFields,
	beta_start: noiseScheduleFields.beta_start.default(0.00085),
	beta_end: noiseScheduleFields.beta_end.default(0.012),
	beta_schedule: noiseScheduleFields.beta_schedule.default("scaled_linear"),
	clip_sample: clipFields.clip_sample.default(false),
	/** Only the step behind the last would read it, and there is none. */
	set_alpha_to_one: z.boolean().default(true),
	/** Length of the schedule that the model was distilled on. */
	original_inference_steps: z.int().positive().default(50),
	timestep_scaling: z.number().positive().default(10),
});

/** Standard deviation of the data in the boundary condition of consistency models (Song et al. 2023, appendix C). */
const SIGMA_DATA = 0.5;

/**
 * LCMScheduler of diffusers. Every step jumps to the clean sample and back to the next timestep with new noise, except the last:
 * x' = sqrt(p) y + sqrt(1 - p) noise, y = c_skip x + c_out x_0. Strength shortens the distilled schedule and leaves the number of steps.
 */
export const lcm = schedulerClass(schema, (config) => {
	const schedule = noiseSchedule(config);
	return (options) => {
		const timesteps = lcmTimesteps(config, options);
		return schedulerOf({
			name: "LCMScheduler",
			config,
			timesteps,
			needsNoise: (i) => i < timesteps.length - 1,
			addNoise: (sample, noise, i) => schedule.addNoise(sample, noise, timesteps[i]),
			stepAt: () => (i, modelOutput, sample, noise) => {
				const a = schedule.alphaBar(timesteps[i]);
				const original = originalSample(config, { a: Math.sqrt(a), b: Math.sqrt(1 - a) }, modelOutput, sample);
				const scaled = timesteps[i] * config.timestep_scaling;
				const skip = SIGMA_DATA ** 2 / (scaled ** 2 + SIGMA_DATA ** 2);
				const out = scaled / Math.hypot(scaled, SIGMA_DATA);
				const denoised = original.map((x, n) => out * x + skip * sample[n]);
				return noise && i < timesteps.length - 1 ? schedule.addNoise(denoised, noise, timesteps[i + 1]) : denoised;
			},
		});
	};
});

/** Evenly chosen from the distilled schedule, the largest first. */
function lcmTimesteps(config: z.infer<typeof schema>, { steps, strength = 1 }: LoopOptions): readonly number[] {
	const { num_train_timesteps: trained, original_inference_steps: distilled } = config;
	if (typeof steps !== "number") return falling(steps, trained).slice(skipped(steps.length, strength));
	const available = Math.floor(distilled * strength);
	if (Number.isInteger(steps) && steps >= 1 && steps <= available && strength <= 1 && distilled <= trained) {
		const stride = Math.floor(trained / distilled);
		return Array.from({ length: steps }, (_, i) => (available - Math.floor(i * (available / steps))) * stride - 1);
	}
	throw new KintsugiError("value", {
		where: "LCMScheduler",
		expected: `at most original_inference_steps x strength = ${available} steps, of ${trained} that were trained`,
		found: `${steps} steps of ${distilled} at strength ${strength}`,
		fix: "choose fewer steps or a higher strength",
	});
}
