/** @file DDPM's ancestral sampling: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020). */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { schedulerClass, schedulerOf, visited } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { clipFields, originalSample } from "./sample.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	...clipFields,
	variance_type: z.enum(["fixed_small", "fixed_large", "learned_range"]).default("fixed_small"),
});

/** Of one step: the variances for clean samples that are all alike, and for those that are pure noise. */
interface Bounds {
	small: number;
	large: number;
}

/**
 * DDPMScheduler of diffusers. One step, equations 6 and 7 with a = alphaBar at t, p = alphaBar at the next timestep and beta = 1 - a / p:
 * x' = sqrt(p) beta / (1 - a) x_0 + sqrt(a / p) (1 - p) / (1 - a) x + sqrt(variance) noise, without noise at t = 0.
 * A variance of "learned_range" lies where the model says between both fixed ones, on a logarithmic scale (Nichol and Dhariwal 2021,
 * equation 15).
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
			stepAt: () => (i, modelOutput, sample, noise, learned) => {
				const a = schedule.alphaBar(timesteps[i]);
				const p = schedule.alphaBar(timesteps[i + 1] ?? -1);
				// Rounded as in diffusers: near t = 0 the quotient is so close to 1 that its last bit shows.
				const beta = 1 - Math.fround(a / p);
				const original = originalSample(config, { a: Math.sqrt(a), b: Math.sqrt(1 - a) }, modelOutput, sample);
				const ofOriginal = (Math.sqrt(p) * beta) / (1 - a);
				const ofSample = (Math.sqrt(1 - beta) * (1 - p)) / (1 - a);
				const deviation = deviationOf(config.variance_type, { small: Math.max(((1 - p) / (1 - a)) * beta, 1e-20), large: beta }, learned);
				const draw = timesteps[i] > 0 ? noise : undefined;
				return original.map((x, n) => {
					const mean = ofOriginal * x + ofSample * sample[n];
					return draw ? mean + deviation(n) * draw[n] : mean;
				});
			},
		});
	};
});

/** The standard deviation at element `n` of the sample. */
function deviationOf(
	type: z.infer<typeof schema>["variance_type"],
	{ small, large }: Bounds,
	learned?: Float32Array,
): (n: number) => number {
	if (type !== "learned_range") {
		const deviation = Math.sqrt(type === "fixed_large" ? large : small);
		return () => deviation;
	}
	if (!learned) {
		throw new KintsugiError("value", {
			where: "DDPMScheduler with variance_type learned_range",
			expected: "a model output with a second half, the variance",
			found: "none",
			fix: "use a model that learned it, or another variance_type",
		});
	}
	const [low, high] = [Math.log(small), Math.log(large)];
	return (n) => Math.exp((low + ((learned[n] + 1) / 2) * (high - low)) / 2);
}
