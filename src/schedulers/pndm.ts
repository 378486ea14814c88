/** @file PNDM: Liu et al., "Pseudo numerical methods for diffusion models on manifolds" (2022). */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { type StepAt, schedulerClass, schedulerOf } from "./loop.ts";
import { noiseSchedule, noiseScheduleFields } from "./noise-schedule.ts";
import { predictedNoise } from "./sample.ts";
import { inferenceTimesteps, skipped } from "./timesteps.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	prediction_type: z.enum(["epsilon", "v_prediction"]).default("epsilon"),
	rescale_betas_zero_snr: z.literal(false).default(false),
	/** Whether the step behind the last is the clean sample, or timestep 0 once more. */
	set_alpha_to_one: z.boolean().default(false),
	/** Leaves out the twelve Runge-Kutta evaluations that warm up the multistep method; Stable Diffusion does. */
	skip_prk_steps: z.boolean().default(false),
});

/** Weights of the outputs of this step and those before it, newest first: Adams-Bashforth, equation 9, and its lower orders. */
const ADAMS_BASHFORTH = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]];
const RUNGE_KUTTA = [1 / 6, 1 / 3, 1 / 3, 1 / 6];

/**
 * PNDMScheduler of diffusers, PLMS with `skip_prk_steps`. One move from t to s is equation 11 with the output combined over several steps.
 * The second timestep is visited twice, to average the first two outputs. With a strength below 1 diffusers cuts the list of timesteps
 * but averages its first two all the same; so does this.
 */
export const pndm = schedulerClass(schema, (config) => {
	const schedule = noiseSchedule(config);
	const barAt = (t: number) => schedule.alphaBar(t < 0 && !config.set_alpha_to_one ? 0 : t);

	const move = (sample: Float32Array, from: number, to: number, output: Float32Array): Float32Array => {
		const [a, p] = [barAt(from), barAt(to)];
		const epsilon = predictedNoise(config, { a: Math.sqrt(a), b: Math.sqrt(1 - a) }, output, sample);
		const ofSample = Math.sqrt(p / a);
		const ofNoise = (p - a) / (a * Math.sqrt(1 - p) + Math.sqrt(a * (1 - a) * p));
		return sample.map((x, n) => ofSample * x - ofNoise * epsilon[n]);
	};

	return ({ steps, strength }) => {
		const evenly = inferenceTimesteps(config, requireNumber(steps));
		const stride = Math.floor(config.num_train_timesteps / evenly.length);
		const warmUp = config.skip_prk_steps ? [] : rungeKuttaTimesteps(evenly, stride);
		const all = config.skip_prk_steps ? twiceTheSecond(evenly) : [...warmUp, ...evenly.slice(3)];
		const begin = skipped(evenly.length, strength);
		if (begin > 0 && !config.skip_prk_steps) throw unsupported("strength 1 without skip_prk_steps", `${strength}`);
		const timesteps = all.slice(begin);
		return schedulerOf({
			name: "PNDMScheduler",
			config,
			timesteps,
			addNoise: (sample, noise, i) => schedule.addNoise(sample, noise, timesteps[i]),
			stepAt: () => {
				const outputs: Float32Array[] = [];
				let start = new Float32Array();
				let mixed = new Float32Array();

				const rungeKutta: StepAt = (i, output, sample) => {
					const stage = i % 4;
					if (stage === 0) {
						outputs.unshift(output);
						start = sample.slice();
						mixed = new Float32Array(sample.length);
					}
					mixed = mixed.map((sum, n) => sum + RUNGE_KUTTA[stage] * output[n]);
					const target = timesteps[i] - (i % 2 === 0 ? Math.floor(stride / 2) : 0);
					return move(start, timesteps[i - stage], target, stage === 3 ? mixed : output);
				};

				const multistep: StepAt = (i, output, sample) => {
					const t = timesteps[i];
					if (i === 1 && config.skip_prk_steps) {
						const mean = output.map((value, n) => (value + outputs[0][n]) / 2);
						return move(start, t + stride, t, mean);
					}
					if (i === 0) start = sample.slice();
					outputs.unshift(output);
					outputs.splice(4);
					const weights = ADAMS_BASHFORTH[outputs.length - 1];
					const combined = output.map((_, n) => weights.reduce((sum, weight, k) => sum + weight * outputs[k][n], 0));
					return move(sample, t, t - stride, combined);
				};

				return (i, output, sample) => (i < warmUp.length ? rungeKutta : multistep)(i, output.slice(), sample);
			},
		});
	};
});

const twiceTheSecond = ([first, second, ...rest]: readonly number[]): number[] =>
	second === undefined ? [first] : [first, second, second, ...rest];

/** Four evaluations for each of the first three moves: at its start, twice half-way, at its end. */
function rungeKuttaTimesteps(evenly: readonly number[], stride: number): number[] {
	if (evenly.length < 4) throw unsupported("at least 4 steps without skip_prk_steps", `${evenly.length}`);
	const half = Math.floor(stride / 2);
	return [1, 2, 3].flatMap((k) => [evenly[k - 1], evenly[k] + half, evenly[k] + half, evenly[k]]);
}

function requireNumber(steps: number | readonly number[]): number {
	if (typeof steps === "number") return steps;
	throw unsupported("a number of steps", steps.join(", "));
}

const unsupported = (expected: string, found: string) =>
	new KintsugiError("value", { where: "PNDMScheduler", expected, found, fix: "change it, or choose another scheduler" });
