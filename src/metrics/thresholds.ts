/** @file Thresholds from scores and truth: above which logit a label counts as present. */

export interface BestThreshold {
	/** Halfway between two neighbouring scores: a score above it counts as present. */
	threshold: number;
	/** F1 of the decisions that it makes on the same scores. */
	f1: number;
	/** How many of the scores belong to something true. */
	positives: number;
}

/**
 * The threshold that maximises F1 = 2 hits / (declared + true), the highest of equals; undefined where nothing is true.
 * `scores[i]` belongs to something that is true if `truth[i] > 0`.
 */
export function bestThreshold(scores: ArrayLike<number>, truth: ArrayLike<number>): BestThreshold | undefined {
	const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b] - scores[a]);
	const positives = order.filter((i) => truth[i] > 0).length;
	if (positives === 0) return undefined;
	const lowest = scores[order[order.length - 1]];
	const best = { threshold: scores[order[0]], f1: 0, positives };
	let hits = 0;
	for (const [place, i] of order.entries()) {
		if (truth[i] > 0) hits++;
		const next = place + 1 < order.length ? scores[order[place + 1]] : lowest - 1;
		if (next === scores[i]) continue;
		const f1 = (2 * hits) / (place + 1 + positives);
		if (f1 > best.f1) Object.assign(best, { f1, threshold: (scores[i] + next) / 2 });
	}
	return best;
}

export interface LabelThreshold {
	threshold: number;
	/** F1 of the label on the calibration images; null where it is true of none of them. */
	f1: number | null;
	/** Calibration images of which the label is true. */
	positives: number;
}

export interface ThresholdOptions {
	/** Number of labels. */
	labels: number;
	method: "per-label" | "global";
	/** A label that is true of fewer images has no threshold of its own: it would be learned by heart. */
	minPositives: number;
}

/**
 * A threshold for each label from logits `[N][K]` and multi-hot truth `[N][K]`: with `per-label` the one that maximises the label's
 * own F1, otherwise, and for rare labels, the one that maximises F1 of all decisions together (OF1). Undefined where nothing is true.
 */
export function calibrateThresholds(
	logits: readonly ArrayLike<number>[],
	truth: readonly ArrayLike<number>[],
	{ labels, method, minPositives }: ThresholdOptions,
): LabelThreshold[] | undefined {
	const pooled = bestThreshold(
		logits.flatMap((row) => Array.from(row)),
		truth.flatMap((row) => Array.from(row)),
	);
	if (!pooled) return undefined;
	return Array.from({ length: labels }, (_, k) => {
		const [scores, known] = [logits.map((row) => row[k]), truth.map((row) => row[k])];
		const positives = known.filter((t) => t > 0).length;
		const own = method === "per-label" && positives >= minPositives ? bestThreshold(scores, known) : undefined;
		if (own) return own;
		const declared = scores.filter((z) => z > pooled.threshold).length;
		const hits = scores.filter((z, i) => z > pooled.threshold && known[i] > 0).length;
		return { threshold: pooled.threshold, f1: positives === 0 ? null : (2 * hits) / (declared + positives), positives };
	});
}
