/** @file Confidence intervals: percentile bootstrap over images, Wilson's for proportions. */
import { random } from "../tensor/random.ts";
import type { Statistic } from "./statistic.ts";

/** All null where the number cannot be computed. */
export interface Estimate {
	value: number | null;
	low: number | null;
	high: number | null;
	/** Images that it says something about. */
	n: number;
}

export interface BootstrapOptions {
	seed: number;
	samples?: number;
	confidence?: number;
}

/** Estimates any statistic of the same `images` images; all share the same resamples, so that differences are paired. */
export interface Bootstrap {
	readonly samples: number;
	readonly confidence: number;
	estimate(statistic: Statistic): Estimate;
}

/**
 * Percentile bootstrap (Efron): images are drawn with replacement, the interval lies between the quantiles of the results.
 * Resamples in which the statistic is not defined are left out.
 */
export function bootstrap(images: number, { seed, samples = 2000, confidence = 0.95 }: BootstrapOptions): Bootstrap {
	const draw = random(seed, "bootstrap", images);
	const resamples = Array.from({ length: samples }, () => {
		const weights = new Uint16Array(images);
		for (let i = 0; i < images; i++) weights[draw.int(images)]++;
		return weights;
	});
	const ones = new Uint16Array(images).fill(1);
	return {
		samples,
		confidence,
		estimate(statistic) {
			const value = statistic.of(ones);
			if (!Number.isFinite(value)) return { value: null, low: null, high: null, n: statistic.n };
			const found = Float64Array.from(resamples, (weights) => statistic.of(weights))
				.filter(Number.isFinite)
				.sort();
			if (found.length === 0) return { value, low: null, high: null, n: statistic.n };
			const tail = (1 - confidence) / 2;
			return { value, low: quantile(found, tail), high: quantile(found, 1 - tail), n: statistic.n };
		},
	};
}

/** Quantile of ascending values with linear interpolation, as numpy does by default. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
	const at = (sorted.length - 1) * q;
	const low = Math.floor(at);
	const high = Math.min(low + 1, sorted.length - 1);
	return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** 97.5 % quantile of the normal distribution: two-sided 95 %. */
const Z95 = 1.959963984540054;

/** Wilson's interval for a proportion (Wilson, JASA 1927): sound also for 0 and for all of n. */
export function wilson(successes: number, n: number, z: number = Z95): Estimate {
	if (n === 0) return { value: null, low: null, high: null, n };
	const p = successes / n;
	const z2 = (z * z) / n;
	const centre = (p + z2 / 2) / (1 + z2);
	const half = (z / (1 + z2)) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n));
	return { value: p, low: successes === 0 ? 0 : centre - half, high: successes === n ? 1 : centre + half, n };
}
