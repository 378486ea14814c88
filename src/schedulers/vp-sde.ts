/** @file The reverse VP-SDE by Euler-Maruyama: Song et al. (2021), equations 6 and 32, as DiffPure integrates it (Nie et al. 2022). */
import { z } from "zod";
import { schedulerClass, schedulerOf, visited } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { predictedNoise } from "./sample.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	/** beta(t) is linear in the SDE; 0.0001 to 0.02 over 1,000 timesteps are DiffPure's beta_min 0.1 and beta_max 20. */
	beta_schedule: z.literal("linear").default("linear"),
	trained_betas: z.null().default(null),
	rescale_betas_zero_snr: z.literal(false).default(false),
});

/** Where the integration ends: the score is infinite at 0. */
const END = 1e-5;

/**
 * VPSDE: dx = [-beta(t) x / 2 - beta(t) score] dt + sqrt(beta(t)) dw backwards in time, score = -epsilon / sqrt(1 - alphaBar(t)).
 * A list of timesteps k stands for the times (k + 1) / num_train_timesteps; the one behind the last is 1e-5. So all timesteps from
 * t - 1 to 0 are DiffPure with t* = t / 1000 and dt = 1e-3: the forward process adds the noise of t steps, the model is told t, t - 1, ..., 1.
 */
export const vpSde = schedulerClass(schema, (config) => {
	const { num_train_timesteps: n } = config;
	const schedule = noiseSchedule(config);
	const [low, high] = [n * config.beta_start, n * config.beta_end];
	return (options) => {
		const { timesteps: places } = visited(config, options);
		const times = [...places.map((k) => (k + 1) / n), END];
		return schedulerOf({
			name: "VPSDE",
			config,
			timesteps: places.map((k) => k + 1),
			needsNoise: () => true,
			addNoise: (sample, noise, i) => schedule.addNoise(sample, noise, places[i]),
			stepAt: () => (i, modelOutput, sample, noise) => {
				const t = times[i];
				const dt = t - times[i + 1];
				const beta = low + t * (high - low);
				const bar = Math.exp(-((high - low) * t * t) / 2 - low * t);
				const b = Math.sqrt(1 - bar);
				const epsilon = predictedNoise(config, { a: Math.sqrt(bar), b }, modelOutput, sample);
				const deviation = Math.sqrt(beta * dt);
				return sample.map((x, k) => x + (beta / 2) * dt * x - ((beta * dt) / b) * epsilon[k] + deviation * (noise?.[k] ?? 0));
			},
		});
	};
});
