/** @file A number about a set of images, as a function of how often each image counts: what the bootstrap resamples. */

/** `of(weights)` with one weight an image; all ones give the plain number. NaN where it is not defined. */
export interface Statistic {
	/** Images that it says something about, before resampling. */
	readonly n: number;
	of(weights: ArrayLike<number>): number;
}

/** Rows of one image each, e.g. logits `[N][K]`. */
export type Rows = readonly ArrayLike<number>[];

/** The mean of one value an image; images whose value is NaN do not count. */
export function meanOf(values: ArrayLike<number>): Statistic {
	const counted = Array.from(values, (v, i) => (Number.isNaN(v) ? -1 : i)).filter((i) => i >= 0);
	return {
		n: counted.length,
		of(weights) {
			let sum = 0;
			let total = 0;
			for (const i of counted) {
				sum += weights[i] * values[i];
				total += weights[i];
			}
			return sum / total;
		},
	};
}

/** `a - b` on the same images: its interval is the paired one. */
export const difference = (a: Statistic, b: Statistic): Statistic => ({
	n: Math.min(a.n, b.n),
	of: (weights) => a.of(weights) - b.of(weights),
});

/** `a / b` on the same images. */
export const ratio = (a: Statistic, b: Statistic): Statistic => ({
	n: Math.min(a.n, b.n),
	of: (weights) => a.of(weights) / b.of(weights),
});

/** The share of what an attack took from a measure that a purifier gave back: (purified - adversarial) / (clean - adversarial). */
export const recovered = (measures: { clean: Statistic; adversarial: Statistic; purified: Statistic }): Statistic =>
	ratio(difference(measures.purified, measures.adversarial), difference(measures.clean, measures.adversarial));
