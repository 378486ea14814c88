/** @file Metrics of the order in which a classifier puts its labels: precision at k, average precision. */
import { meanOf, type Rows, type Statistic } from "./statistic.ts";

/** Indices of the k largest scores, best first; of equal scores the first label wins, as in argmax. */
export function topK(scores: ArrayLike<number>, k: number): number[] {
	const order = Array.from(scores, (_, i) => i);
	return order.sort((a, b) => scores[b] - scores[a] || a - b).slice(0, k);
}

/**
 * Share of the k best labels that are true, averaged over images; k = 1 is the paper's precision (the top label is a true one).
 * Scores and multi-hot truth: `[N][K]`.
 */
export const precisionAt = (k: number, scores: Rows, truth: Rows): Statistic =>
	meanOf(scores.map((row, i) => topK(row, k).reduce((hits, label) => hits + (truth[i][label] > 0 ? 1 : 0), 0) / k));

/**
 * Average precision of one label over images: the sum over distinct scores, falling, of (gain in recall) x precision; no interpolation.
 * Equal scores are taken together, as scikit-learn's `average_precision_score` does. NaN if no image shows the label.
 */
export function averagePrecision(scores: ArrayLike<number>, truth: ArrayLike<number>): Statistic {
	const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b] - scores[a]);
	const lastOfTie = order.map((image, at) => at + 1 === order.length || scores[order[at + 1]] !== scores[image]);
	return {
		n: order.length,
		of(weights) {
			let seen = 0;
			let hits = 0;
			let hitsBefore = 0;
			let sum = 0;
			for (let at = 0; at < order.length; at++) {
				const image = order[at];
				seen += weights[image];
				if (truth[image] > 0) hits += weights[image];
				if (!lastOfTie[at] || hits === hitsBefore) continue;
				sum += ((hits - hitsBefore) * hits) / seen;
				hitsBefore = hits;
			}
			return sum / hits;
		},
	};
}

/** Mean of `averagePrecision` over the labels that at least one image shows: `[N][K]` scores and truth. */
export function meanAveragePrecision(scores: Rows, truth: Rows): Statistic {
	const labels = scores.length > 0 ? scores[0].length : 0;
	const column = (rows: Rows, k: number) => Float64Array.from(rows, (row) => row[k]);
	const perLabel = Array.from({ length: labels }, (_, k) => averagePrecision(column(scores, k), column(truth, k)));
	return {
		n: scores.length,
		of(weights) {
			const defined = perLabel.map((label) => label.of(weights)).filter((v) => !Number.isNaN(v));
			return defined.reduce((sum, v) => sum + v, 0) / defined.length;
		},
	};
}
