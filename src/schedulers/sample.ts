/** @file The clean sample that a model's output implies. */
import type { NoiseScheduleConfig } from "./noise-schedule.ts";

/**
 * x_0 at one position, clipped if the configuration says so (DDPM, equation 15; v-prediction: Salimans and Ho 2022, appendix D).
 * `a` is sqrt(alphaBar) and `b` is sqrt(1 - alphaBar) at the timestep of `x`.
 */
export function originalSample(config: NoiseScheduleConfig, a: number, b: number): (output: number, x: number) => number {
	const predict = {
		epsilon: (output: number, x: number) => (x - b * output) / a,
		sample: (output: number) => output,
		v_prediction: (output: number, x: number) => a * x - b * output,
	}[config.prediction_type];
	if (!config.clip_sample) return predict;
	const range = config.clip_sample_range;
	return (output, x) => Math.min(range, Math.max(-range, predict(output, x)));
}
