/** @file What a model's output says about the clean sample and about the noise, at one timestep. */
import { z } from "zod";
import type { NoiseScheduleConfig } from "./noise-schedule.ts";

/** Fields of scheduler_config.json that shrink outliers of the predicted clean sample, with the defaults of diffusers. */
export const thresholdFields = {
	thresholding: z.boolean().default(false),
	dynamic_thresholding_ratio: z.number().min(0).max(1).default(0.995),
	sample_max_value: z.number().min(1).default(1),
};

/** Those that bound it; thresholding goes before clipping. */
export const clipFields = {
	...thresholdFields,
	clip_sample: z.boolean().default(true),
	clip_sample_range: z.number().positive().default(1),
};

const schema = z.object(thresholdFields).extend({ clip_sample: z.boolean().optional(), clip_sample_range: z.number().optional() });

export type BoundConfig = Pick<NoiseScheduleConfig, "prediction_type"> & z.infer<typeof schema>;

/** The noise scales of the forward process at one timestep: x = `a` x_0 + `b` epsilon. */
export interface Scales {
	a: number;
	b: number;
}

/** x_0, bounded as the configuration says (DDPM, equation 15; v-prediction: Salimans and Ho 2022, appendix D). */
export function originalSample(config: BoundConfig, { a, b }: Scales, output: Float32Array, sample: Float32Array): Float32Array {
	const predicted = {
		// Rounded as in diffusers: where `a` is nearly 0, the last bit of the difference shows.
		epsilon: () => sample.map((x, i) => Math.fround(x - Math.fround(b * output[i])) / a),
		sample: () => output,
		v_prediction: () => sample.map((x, i) => a * x - b * output[i]),
	}[config.prediction_type]();
	return bounded(config, predicted);
}

/** epsilon, without bounds. */
export function predictedNoise(
	{ prediction_type }: Pick<NoiseScheduleConfig, "prediction_type">,
	{ a, b }: Scales,
	output: Float32Array,
	sample: Float32Array,
): Float32Array {
	return {
		epsilon: () => output,
		sample: () => sample.map((x, i) => (x - a * output[i]) / b),
		v_prediction: () => sample.map((x, i) => a * output[i] + b * x),
	}[prediction_type]();
}

/** Dynamic thresholding (Saharia et al. 2022, section 2.3): clipped at a quantile of the magnitudes, then scaled back into [-1, 1]. */
function bounded(config: BoundConfig, values: Float32Array): Float32Array {
	if (config.thresholding) {
		const high = quantile(values.map(Math.abs).sort(), config.dynamic_thresholding_ratio);
		const limit = Math.min(Math.max(high, 1), config.sample_max_value);
		return values.map((v) => Math.min(limit, Math.max(-limit, v)) / limit);
	}
	if (!config.clip_sample) return values;
	const range = config.clip_sample_range ?? 1;
	return values.map((v) => Math.min(range, Math.max(-range, v)));
}

/** Linear between neighbours, as torch.quantile. */
function quantile(sorted: Float32Array, share: number): number {
	const rank = share * (sorted.length - 1);
	const low = sorted[Math.floor(rank)];
	return low + (sorted[Math.ceil(rank)] - low) * (rank % 1);
}
