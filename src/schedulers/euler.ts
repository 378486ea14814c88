/** @file Euler's method: Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), algorithm 2. */
import { z } from "zod";
import { schedulerClass, schedulerOf } from "./loop.ts";
import { type NoiseScheduleConfig, noiseScheduleFields } from "./noise-schedule.ts";
import type { LoopOptions } from "./scheduler.ts";
import { listedTimesteps, ramp, sigmaAt, sigmaFields, spacedSigmas, timestepOf, trainedSigmas } from "./sigmas.ts";
import { inferenceTimesteps, skipped } from "./timesteps.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	...sigmaFields,
	timestep_spacing: noiseScheduleFields.timestep_spacing.default("linspace"),
	interpolation_type: z.enum(["linear", "log_linear"]).default("linear"),
	/** What the model is told: the timestep, or (v-prediction only) log(sigma) / 4. */
	timestep_type: z.enum(["discrete", "continuous"]).default("discrete"),
});

type EulerConfig = z.infer<typeof schema>;

const f32 = Math.fround;

/**
 * EulerDiscreteScheduler of diffusers. Samples are x_0 + sigma noise. One step: x' = x + (sigma' - sigma) (x - x_0) / sigma,
 * with `s_churn` after noise has been added up to sigma (1 + gamma). Every operation is rounded to float32 as diffusers rounds it:
 * with zero terminal SNR sigma starts at 4096, and the last bits of x come through.
 */
export const eulerDiscrete = schedulerClass(schema, (config) => {
	const { sigmas: trained } = trainedSigmas(config);
	return (options) => {
		const { timesteps, sigmas, steps, largest } = eulerGrid(config, trained, options);
		const { s_churn: churn = 0, s_tmin: low = 0, s_tmax: high = Number.POSITIVE_INFINITY, s_noise: factor = 1 } = options;
		const gamma = (i: number) => (sigmas[i] >= low && sigmas[i] <= high ? Math.min(churn / steps, Math.SQRT2 - 1) : 0);
		return schedulerOf({
			name: "EulerDiscreteScheduler",
			config,
			timesteps,
			...sigmaScaled(config, sigmas, largest),
			needsNoise: (i) => gamma(i) > 0,
			stepAt: () => (i, modelOutput, sample, noise) => {
				const sigma = sigmas[i];
				const raised = f32(sigma * (gamma(i) + 1));
				const added = f32(factor * f32(Math.sqrt(f32(f32(raised * raised) - f32(sigma * sigma)))));
				const x = noise && raised > sigma ? sample.map((value, n) => value + f32(noise[n] * added)) : sample;
				const slope = derivative(config, { sigma, raised }, modelOutput, x);
				const dt = f32(sigmas[i + 1] - raised);
				return x.map((value, n) => value + f32(slope[n] * dt));
			},
		});
	};
});

/** `initNoiseSigma`, `scaleModelInput` and `addNoise` of samples that are x_0 + sigma noise. */
export function sigmaScaled({ timestep_spacing: spacing }: NoiseScheduleConfig, sigmas: readonly number[], largest: number) {
	return {
		initNoiseSigma: spacing === "leading" ? f32(Math.sqrt(f32(f32(largest * largest) + 1))) : largest,
		scaleModelInput: (sample: Float32Array, i: number) => {
			const root = f32(Math.sqrt(f32(f32(sigmas[i] * sigmas[i]) + 1)));
			return sample.map((x) => x / root);
		},
		addNoise: (sample: Float32Array, noise: Float32Array, i: number) => sample.map((x, n) => x + f32(noise[n] * sigmas[i])),
	};
}

/** (x - x_0) / sigma; x is at `raised`, which is `sigma` without churn. */
export function derivative(
	{ prediction_type }: Pick<NoiseScheduleConfig, "prediction_type">,
	{ sigma, raised }: { sigma: number; raised: number },
	output: Float32Array,
	sample: Float32Array,
): Float32Array {
	const square = f32(f32(sigma * sigma) + 1);
	const ofOutput = f32(-sigma / f32(Math.sqrt(square)));
	const original = {
		epsilon: (out: number, x: number) => f32(x - f32(raised * out)),
		sample: (out: number) => out,
		v_prediction: (out: number, x: number) => f32(f32(out * ofOutput) + f32(x / square)),
	}[prediction_type];
	return sample.map((x, n) => f32(x - original(output[n], x)) / raised);
}

function eulerGrid(config: EulerConfig, trained: readonly number[], { steps, strength }: LoopOptions) {
	const continuous = config.timestep_type === "continuous" && config.prediction_type === "v_prediction";
	const own = Boolean(config.use_karras_sigmas || config.use_exponential_sigmas || config.use_beta_sigmas || continuous);
	const evenly = typeof steps === "number" ? inferenceTimesteps(config, steps, { fractional: true }) : listedTimesteps(config, steps, own);
	const n = evenly.length;
	const linear = evenly.map((t) => sigmaAt(trained, t));
	const logs = () => ramp(Math.log(trained.at(-1) as number), Math.log(trained[0]), n + 1).map((log) => f32(Math.exp(f32(log))));
	const base = config.interpolation_type === "linear" ? linear : logs();
	const spaced = spacedSigmas(config, { min: base.at(-1) as number, max: base[0] }, n);
	const last = config.final_sigmas_type === "zero" ? 0 : trained[0];
	const sigmas = [...(spaced ?? base), last].map(f32);
	const discrete = spaced ? spaced.map((sigma) => f32(timestepOf(trained, sigma))) : evenly;
	const timesteps = continuous ? sigmas.slice(0, -1).map((sigma) => f32(0.25 * f32(Math.log(sigma)))) : discrete;
	const begin = skipped(n, strength);
	// log_linear without another spacing yields one sigma more than steps, as in diffusers: the loop ends before the last.
	return { timesteps: timesteps.slice(begin, n), sigmas: sigmas.slice(begin), steps: sigmas.length - 1, largest: Math.max(...sigmas) };
}
