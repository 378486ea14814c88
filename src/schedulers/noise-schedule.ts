/** @file What all schedulers share: the betas, the timesteps that are visited, and the forward process. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";

/** Fields of scheduler_config.json that DDIM and DDPM have in common, with the defaults of diffusers. */
export const noiseScheduleFields = {
	num_train_timesteps: z.int().positive().default(1000),
	beta_start: z.number().positive().default(0.0001),
	beta_end: z.number().positive().default(0.02),
	beta_schedule: z.enum(["linear", "scaled_linear", "squaredcos_cap_v2"]).default("linear"),
	trained_betas: z.array(z.number()).nullable().default(null),
	clip_sample: z.boolean().default(true),
	clip_sample_range: z.number().positive().default(1),
	steps_offset: z.int().nonnegative().default(0),
	prediction_type: z.enum(["epsilon", "sample", "v_prediction"]).default("epsilon"),
	timestep_spacing: z.enum(["leading", "trailing", "linspace"]).default("leading"),
	rescale_betas_zero_snr: z.boolean().default(false),
	thresholding: z.literal(false).default(false),
	dynamic_thresholding_ratio: z.unknown().optional(),
	sample_max_value: z.unknown().optional(),
};

const schema = z.object(noiseScheduleFields);

export type NoiseScheduleConfig = z.infer<typeof schema>;

export interface NoiseSchedule {
	readonly steps: number;
	/** Product of (1 - beta) up to and with t; `t = -1` is the clean sample. */
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
		steps: bars.length,
		alphaBar,
		addNoise(sample, noise, t) {
			const a = Math.sqrt(alphaBar(t));
			const b = Math.sqrt(1 - alphaBar(t));
			return sample.map((x, i) => a * x + b * noise[i]);
		},
	};
}

/** numpy's round: halves go to the even neighbour. */
function roundHalfEven(x: number): number {
	const floor = Math.floor(x);
	if (x - floor !== 0.5) return Math.round(x);
	return floor % 2 === 0 ? floor : floor + 1;
}

/** The timesteps of a full denoising loop, falling (table 2 of Lin et al. 2023). Throws `value` for more steps than were trained. */
export function inferenceTimesteps(config: NoiseScheduleConfig, steps: number): number[] {
	const trained = config.num_train_timesteps;
	if (!Number.isInteger(steps) || steps < 1 || steps > trained) {
		throw new KintsugiError("value", {
			where: "scheduler steps",
			expected: `a whole number from 1 to ${trained}`,
			found: `${steps}`,
			fix: "choose another number of steps",
		});
	}
	const indices = Array.from({ length: steps }, (_, i) => i);
	if (config.timestep_spacing === "linspace") {
		const width = steps === 1 ? 0 : (trained - 1) / (steps - 1);
		return indices.map((i) => roundHalfEven(i * width)).reverse();
	}
	if (config.timestep_spacing === "leading") {
		return indices.map((i) => i * Math.floor(trained / steps) + config.steps_offset).reverse();
	}
	return indices.map((i) => roundHalfEven(trained - (i * trained) / steps) - 1);
}
