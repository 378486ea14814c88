/** @file DPM-Solver and DPM-Solver++, multistep: Lu et al. (2022), "DPM-Solver" and "DPM-Solver++: fast solver for guided sampling". */
import { z } from "zod";
import { dpmCoefficients, dpmFields } from "./dpm-solver-coefficients.ts";
import { schedulerClass, schedulerOf } from "./loop.ts";
import { noiseScheduleFields } from "./noise-schedule.ts";
import { originalSample, predictedNoise, type Scales, thresholdFields } from "./sample.ts";
import type { LoopOptions } from "./scheduler.ts";
import { listedTimesteps, ramp, sigmaAt, sigmaFields, spacedSigmas, timestepOf, trainedSigmas } from "./sigmas.ts";
import { requireSteps, roundHalfEven, skipped, trailing } from "./timesteps.ts";

const off = z.literal(false).default(false);

const schema = z
	.strictObject({
		...noiseScheduleFields,
		...thresholdFields,
		...sigmaFields,
		...dpmFields,
		timestep_spacing: noiseScheduleFields.timestep_spacing.default("linspace"),
		solver_order: z.union([z.literal(1), z.literal(2), z.literal(3)]).default(2),
		/** The last steps with lower orders, in loops of fewer than 15 steps. */
		lower_order_final: z.boolean().default(true),
		/** The last step with order 1. */
		euler_at_final: z.boolean().default(false),
		/** Sigmas evenly spaced in lambda = -log sigma. */
		use_lu_lambdas: z.boolean().nullable().default(false),
		/** Timesteps with lambda below this are left out; the cosine schedule needs about -5.1. */
		lambda_min_clipped: z.number().or(z.literal(Number.NEGATIVE_INFINITY)).default(Number.NEGATIVE_INFINITY),
		/** Says whether the model's output has a second half; which is not read. */
		variance_type: z.enum(["fixed_small", "fixed_large", "learned", "learned_range"]).nullable().default(null),
		use_flow_sigmas: off,
		flow_shift: z.unknown().optional(),
		use_dynamic_shifting: off,
		time_shift_type: z.unknown().optional(),
	})
	.refine((c) => c.algorithm_type.endsWith("++") || c.final_sigmas_type === "sigma_min", {
		path: ["final_sigmas_type"],
		error: 'must be "sigma_min" for dpmsolver and sde-dpmsolver',
	})
	.refine((c) => c.algorithm_type !== "sde-dpmsolver" || c.solver_order < 3, {
		path: ["solver_order"],
		error: "must be 1 or 2 for sde-dpmsolver",
	});

type DpmConfig = z.infer<typeof schema>;

/** alpha and sigma of a sample with unit variance. */
function scalesOf(sigma: number): Scales {
	const a = Math.fround(1 / Math.sqrt(sigma * sigma + 1));
	return { a, b: Math.fround(sigma * a) };
}

/**
 * DPMSolverMultistepScheduler of diffusers. `++` integrates predicted clean samples, the others predicted noise; `sde-` adds noise.
 * The order rises from 1 with the outputs that there are.
 */
export const dpmSolverMultistep = schedulerClass(schema, (config) => {
	const { sigmas: trained } = trainedSigmas(config);
	return (options) => {
		const { all, sigmas } = dpmGrid(config, trained, options);
		const begin = skipped(all.length, options.strength);
		const stochastic = config.algorithm_type.startsWith("sde-");
		const scales = (i: number) => scalesOf(sigmas[begin + i]);
		return schedulerOf({
			name: "DPMSolverMultistepScheduler",
			config,
			timesteps: all.slice(begin),
			needsNoise: (i) => stochastic && sigmas[begin + i + 1] > 0,
			addNoise: (sample, noise, i) => {
				const { a, b } = scales(i);
				return sample.map((x, n) => a * x + b * noise[n]);
			},
			stepAt: () => {
				let history: Float32Array[] = [];
				return (i, modelOutput, sample, noise) => {
					history = [converted(config, scales(i), modelOutput, sample), ...history].slice(0, config.solver_order);
					const order = Math.min(history.length, largestOrder(config, all.length - begin - i, all.length));
					const points = Array.from({ length: order + 1 }, (_, k) => scales(i + 1 - k));
					const { ofSample, ofOutputs, ofNoise } = dpmCoefficients(config, points);
					return sample.map((x, n) => {
						const mean = ofOutputs.reduce((sum, weight, k) => sum + weight * history[k][n], ofSample * x);
						return noise && stochastic ? mean + ofNoise * noise[n] : mean;
					});
				};
			},
		});
	};
});

/** What the solver integrates: x_0, or epsilon. */
function converted(config: DpmConfig, scales: Scales, output: Float32Array, sample: Float32Array): Float32Array {
	if (config.algorithm_type.endsWith("++")) return originalSample(config, scales, output, sample);
	if (!config.thresholding) return predictedNoise(config, scales, output, sample);
	const original = originalSample(config, scales, output, sample);
	return predictedNoise({ prediction_type: "sample" }, scales, original, sample);
}

/** The order that is allowed with `left` steps to go, this one included. */
function largestOrder(config: DpmConfig, left: number, steps: number): number {
	const lower = config.lower_order_final && steps < 15;
	if (left === 1 && (config.euler_at_final || lower || config.final_sigmas_type === "zero")) return 1;
	return left === 2 && lower ? 2 : config.solver_order;
}

/** Timesteps, and their sigmas with the one behind the last. */
function dpmGrid(config: DpmConfig, trained: readonly number[], { steps }: LoopOptions) {
	const own = Boolean(config.use_karras_sigmas || config.use_exponential_sigmas || config.use_beta_sigmas || config.use_lu_lambdas);
	const listed = typeof steps === "number" ? evenTimesteps(config, trained, steps) : listedTimesteps(config, steps, own);
	const ends = { min: trained[0], max: trained.at(-1) as number };
	const count = typeof steps === "number" ? steps : steps.length;
	const spaced = spacedSigmas(config, ends, count) ?? (config.use_lu_lambdas ? luSigmas(ends, count) : undefined);
	const rounded = (config.use_karras_sigmas || config.use_lu_lambdas) && config.beta_schedule !== "squaredcos_cap_v2";
	const timestep = (sigma: number) => (rounded ? roundHalfEven : Math.trunc)(timestepOf(trained, sigma));
	const last = config.final_sigmas_type === "zero" ? 0 : trained[0];
	return {
		all: spaced ? spaced.map(timestep) : listed,
		sigmas: [...(spaced ?? listed.map((t) => sigmaAt(trained, t))), last].map(Math.fround),
	};
}

const luSigmas = ({ min, max }: { min: number; max: number }, n: number) => ramp(Math.log(max), Math.log(min), n).map(Math.exp);

/** Unlike the other schedulers, "linspace" and "leading" leave out the timestep at 0. */
function evenTimesteps(config: DpmConfig, trained: readonly number[], steps: number): number[] {
	requireSteps(steps, trained.length);
	const count = trained.filter((sigma) => -Math.log(sigma) >= config.lambda_min_clipped).length;
	const falling = Array.from({ length: steps }, (_, i) => steps - i);
	if (config.timestep_spacing === "linspace") return falling.map((i) => roundHalfEven((i * (count - 1)) / steps));
	if (config.timestep_spacing === "leading") return falling.map((i) => i * Math.floor(count / (steps + 1)) + config.steps_offset);
	const trainedSteps = config.num_train_timesteps;
	return trailing(count, trainedSteps / steps, Math.ceil((count * steps) / trainedSteps));
}
