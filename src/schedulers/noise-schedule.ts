/** @file What all schedulers share: the betas, their cumulative products, and the forward process. */
import { z } from "zod";

/** Fields of scheduler_config.json that all schedulers have in common, with the defaults of diffusers. */
export const noiseScheduleFields = {
	num_train_timesteps: z.int().positive().default(1000),
	beta_start: z.number().positive().default(0.0001),
	beta_end: z.number().positive().default(0.02),
	beta_schedule: z.enum(["linear", "scaled_linear", "squaredcos_cap_v2"]).default("linear"),
	trained_betas: z.array(z.number()).nullable().default(null),
	// Of the first versions of diffusers, and in google/ddpm-* to this day; it was never used.
	timestep_values: z.null().optional(),
	steps_offset: z.int().nonnegative().default(0),
	prediction_type: z.enum(["epsilon", "sample", "v_prediction"]).default("epsilon"),
	timestep_spacing: z.enum(["leading", "trailing", "linspace"]).default("leading"),
	rescale_betas_zero_snr: z.boolean().default(false),
};

const schema = z.object(noiseScheduleFields);

export type NoiseScheduleConfig = z.infer<typeof schema>;

export interface NoiseSchedule {
	/** `bars[t]`: product of (1 - beta) up to and with t, falling. */
	readonly bars: readonly number[];
	/** `bars[t]`; `t = -1` is the clean sample. */
	alphaBar(t: number): number;
	/** sqrt(alphaBar) x + sqrt(1 - alphaBar) noise. */
	addNoise(sample: Float32Array, noise: Float32Array, t: number): Float32Array;
}

const f32 = Math.fround;

/** numpy's and PyTorch's linspace in float32: from both ends towards the middle. */
function linspace(from: number, to: number, n: number): number[] {
	const step = f32((to - from) / (n - 1));
	return Array.from({ length: n }, (_, i) => f32(i < n / 2 ? from + step * i : to - step * (n - 1 - i)));
}

/** Cosine schedule of Nichol and Dhariwal (2021), equation 17, with betas capped at 0.999. */
function cosineBetas(n: number): number[] {
	const bar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
	return Array.from({ length: n }, (_, i) => f32(Math.min(1 - bar((i + 1) / n) / bar(i / n), 0.999)));
}

function betasOf(config: NoiseScheduleConfig): number[] {
	const { beta_start: start, beta_end: end, num_train_timesteps: n, trained_betas: trained } = config;
	if (trained) return trained.map(f32);
	if (config.beta_schedule === "linear") return linspace(start, end, n);
	if (config.beta_schedule === "scaled_linear") return linspace(Math.sqrt(start), Math.sqrt(end), n).map((b) => f32(b * b));
	return cosineBetas(n);
}

/** Cumulative products; the running product is kept in double precision, as PyTorch keeps it, and every entry is rounded. */
function cumulativeProduct(alphas: readonly number[]): number[] {
	let product = 1;
	return alphas.map((alpha) => {
		product *= alpha;
		return f32(product);
	});
}

/** Algorithm 1 of Lin et al., "Common diffusion noise schedules and sample steps are flawed" (2023): the last step is pure noise. */
function zeroTerminalSnr(betas: readonly number[]): number[] {
	const roots = cumulativeProduct(betas.map((b) => f32(1 - b))).map((a) => f32(Math.sqrt(a)));
	const first = roots[0];
	const last = roots.at(-1) ?? 0;
	const bars = roots.map((root) => f32(f32(f32(root - last) * f32(first / f32(first - last))) ** 2));
	return bars.map((bar, i) => f32(1 - (i === 0 ? bar : f32(bar / bars[i - 1]))));
}

/** The forward process of a scheduler_config.json; numbers are rounded to float32 where diffusers rounds them. */
export function noiseSchedule(config: NoiseScheduleConfig): NoiseSchedule {
	const betas = config.rescale_betas_zero_snr ? zeroTerminalSnr(betasOf(config)) : betasOf(config);
	const bars = cumulativeProduct(betas.map((b) => f32(1 - b)));
	const alphaBar = (t: number) => (t < 0 ? 1 : bars[t]);
	return {
		bars,
		alphaBar,
		addNoise(sample, noise, t) {
			const a = Math.sqrt(alphaBar(t));
			const b = Math.sqrt(1 - alphaBar(t));
			return sample.map((x, i) => a * x + b * noise[i]);
		},
	};
}
