/** @file Noise levels as the samplers of Karras et al. (2022) count them: sigma = sqrt((1 - alphaBar) / alphaBar), and spacings of them. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { type NoiseSchedule, type NoiseScheduleConfig, noiseSchedule } from "./noise-schedule.ts";
import { falling } from "./timesteps.ts";

/** Fields of scheduler_config.json that space the sigmas, with the defaults of diffusers. At most one spacing can be on. */
export const sigmaFields = {
	use_karras_sigmas: z.boolean().nullable().default(false),
	use_exponential_sigmas: z.boolean().nullable().default(false),
	use_beta_sigmas: z.boolean().nullable().default(false),
	/** Ends of the spacing; null: those of the training schedule. */
	sigma_min: z.number().positive().nullable().default(null),
	sigma_max: z.number().positive().nullable().default(null),
	/** What stands behind the last step: the clean sample, or the smallest sigma that was trained. */
	final_sigmas_type: z.enum(["zero", "sigma_min"]).default("zero"),
};

const schema = z.object(sigmaFields);

export type SigmaConfig = NoiseScheduleConfig & z.infer<typeof schema>;

const f32 = Math.fround;

/**
 * The sigmas of training by timestep, rising. With zero terminal SNR the last would be infinite:
 * as in diffusers its alphaBar is 2^-24 instead, so that sigma is 4096.
 */
export function trainedSigmas(config: NoiseScheduleConfig): { schedule: NoiseSchedule; sigmas: number[] } {
	const schedule = noiseSchedule(config);
	const last = schedule.bars.length - 1;
	const bar = (t: number) => (config.rescale_betas_zero_snr && t === last ? 2 ** -24 : schedule.bars[t]);
	return { schedule, sigmas: schedule.bars.map((_, t) => f32(Math.sqrt(f32(f32(1 - bar(t)) / bar(t))))) };
}

/** Sigma at a timestep that may be fractional. */
export function sigmaAt(sigmas: readonly number[], t: number): number {
	const low = Math.min(Math.floor(t), sigmas.length - 1);
	const high = Math.min(low + 1, sigmas.length - 1);
	return (sigmas[high] - sigmas[low]) * (t - low) + sigmas[low];
}

/** The fractional timestep of a sigma, linear in log sigma. */
export function timestepOf(sigmas: readonly number[], sigma: number): number {
	const logs = sigmas.map((s) => f32(Math.log(s)));
	const log = Math.log(Math.max(sigma, 1e-10));
	const below = logs.findLastIndex((value) => log >= value);
	const low = Math.min(Math.max(below, 0), logs.length - 2);
	const share = Math.min(1, Math.max(0, (logs[low] - log) / f32(logs[low] - logs[low + 1])));
	return (1 - share) * low + share * (low + 1);
}

/** `n` numbers from `from` to `to`, both included. */
export function ramp(from: number, to: number, n: number): number[] {
	return Array.from({ length: n }, (_, i) => from + (n === 1 ? 0 : i / (n - 1)) * (to - from));
}

/** `n` falling sigmas between the ends in the configuration's spacing, or undefined if it names none. Throws `config` for two. */
export function spacedSigmas(config: SigmaConfig, ends: { min: number; max: number }, n: number): number[] | undefined {
	const { use_karras_sigmas: karras, use_exponential_sigmas: exponential, use_beta_sigmas: beta } = config;
	if ([karras, exponential, beta].filter(Boolean).length > 1) {
		throw new KintsugiError("config", {
			where: "scheduler configuration",
			expected: "at most one of use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas",
			found: "several",
			fix: "switch all but one off",
		});
	}
	const min = config.sigma_min ?? ends.min;
	const max = config.sigma_max ?? ends.max;
	// Equation 5 of Karras et al. (2022), rho = 7.
	if (karras) return ramp(max ** (1 / 7), min ** (1 / 7), n).map((root) => root ** 7);
	if (exponential) return ramp(Math.log(max), Math.log(min), n).map(Math.exp);
	// Lee et al., "Beta sampling is all you need" (2024): quantiles of Beta(0.6, 0.6).
	if (beta) return ramp(1, 0, n).map((share) => min + betaQuantile(share, 0.6) * (max - min));
	return undefined;
}

/** Throws `value` for a list of timesteps where the sigmas are spaced on their own. */
export function listedTimesteps(config: SigmaConfig, timesteps: readonly number[], spaced: boolean): readonly number[] {
	if (!spaced) return falling(timesteps, config.num_train_timesteps);
	throw new KintsugiError("value", {
		where: "scheduler timesteps",
		expected: "a number of steps, because the configuration spaces sigmas, not timesteps",
		found: timesteps.join(", "),
		fix: "give a number of steps",
	});
}

/** Quantile of the symmetric Beta(a, a): the incomplete beta function by its power series, inverted by halving. */
function betaQuantile(share: number, a: number): number {
	if (share > 0.5) return 1 - betaQuantile(1 - share, a);
	const half = incompleteBeta(0.5, a);
	let [low, high] = [0, 0.5];
	for (let i = 0; i < 100; i++) {
		const middle = (low + high) / 2;
		if (incompleteBeta(middle, a) < 2 * share * half) low = middle;
		else high = middle;
	}
	return share === 0 ? 0 : high;
}

/** Integral of (u (1 - u))^(a - 1) from 0 to `x` <= 1/2: x^a sum_k (1 - a)_k / k! x^k / (a + k). */
function incompleteBeta(x: number, a: number): number {
	let [sum, term] = [0, 1];
	for (let k = 0; k < 60; k++) {
		sum += term / (a + k);
		term *= ((1 - a + k) / (k + 1)) * x;
	}
	return x ** a * sum;
}
