/** @file Metrics of the labels that are declared present: precision, recall and F1 in their four averages, CF1, OF1. */
import { meanOf, type Rows, type Statistic } from "./statistic.ts";

/** Multi-hot decisions: 1 where a score lies above its label's threshold. */
export const decide = (scores: Rows, thresholds: ArrayLike<number>): Uint8Array[] =>
	scores.map((row) => Uint8Array.from(row, (score, k) => (score > thresholds[k] ? 1 : 0)));

/**
 * How labels and images are averaged, as in scikit-learn:
 * - `samples`: the measure of each image, averaged over images;
 * - `micro`: all decisions together;
 * - `macro`: the measure of each label, averaged over all labels;
 * - `weighted`: the same, each label counting as often as it is true.
 */
export type Average = "samples" | "micro" | "macro" | "weighted";

export interface PrecisionRecall {
	readonly precision: Statistic;
	readonly recall: Statistic;
	readonly f1: Statistic;
}

/** 0 / 0 counts as 0 (scikit-learn's `zero_division=0`). */
const divide = (a: number, b: number) => (b === 0 ? 0 : a / b);

/** Precision, recall and F1 of multi-hot decisions against multi-hot truth, both `[N][K]`. */
export function precisionRecall(average: Average, decisions: Rows, truth: Rows): PrecisionRecall {
	if (average === "samples") return ofImages(decisions, truth);
	const counts = labelCounts(decisions, truth);
	const combine = AVERAGES[average];
	const statistic = (measure: Measure): Statistic => ({
		n: decisions.length,
		of: (weights) => combine(counts(weights), measure),
	});
	return { precision: statistic(precision), recall: statistic(recall), f1: statistic(f1) };
}

/** CF1: F1 of the labels' mean precision and mean recall. */
export function perLabelF1(decisions: Rows, truth: Rows): Statistic {
	const { precision: p, recall: r } = precisionRecall("macro", decisions, truth);
	return {
		n: decisions.length,
		of(weights) {
			const [mp, mr] = [p.of(weights), r.of(weights)];
			return divide(2 * mp * mr, mp + mr);
		},
	};
}

/** OF1: F1 of all decisions together, the same as micro F1. */
export const overallF1 = (decisions: Rows, truth: Rows): Statistic => precisionRecall("micro", decisions, truth).f1;

/** What is known about one label, or about all together: counts of hits, of decisions and of truths. */
interface Counts {
	readonly hits: ArrayLike<number>;
	readonly decided: ArrayLike<number>;
	readonly true: ArrayLike<number>;
}

type Measure = (hits: number, decided: number, real: number) => number;

const precision: Measure = (hits, decided) => divide(hits, decided);
const recall: Measure = (hits, _, real) => divide(hits, real);
const f1: Measure = (hits, decided, real) => divide(2 * hits, decided + real);

const total = (values: ArrayLike<number>) => Array.from(values).reduce((sum, v) => sum + v, 0);

const ofEach = ({ hits, decided, true: real }: Counts, measure: Measure) => Array.from(hits, (h, k) => measure(h, decided[k], real[k]));

const AVERAGES: Record<Exclude<Average, "samples">, (counts: Counts, measure: Measure) => number> = {
	micro: ({ hits, decided, true: real }, measure) => measure(total(hits), total(decided), total(real)),
	macro: (counts, measure) => total(ofEach(counts, measure)) / counts.hits.length,
	weighted: (counts, measure) => divide(total(ofEach(counts, measure).map((value, k) => value * counts.true[k])), total(counts.true)),
};

const present = (row: ArrayLike<number>) => Array.from(row, (v, k) => (v > 0 ? k : -1)).filter((k) => k >= 0);

/** Counts by label for any weights. */
function labelCounts(decisions: Rows, truth: Rows): (weights: ArrayLike<number>) => Counts {
	const labels = decisions.length > 0 ? decisions[0].length : 0;
	const decided = decisions.map(present);
	const real = truth.map(present);
	const hits = decided.map((row, i) => row.filter((k) => truth[i][k] > 0));
	const sum = (rows: number[][], weights: ArrayLike<number>) => {
		const out = new Float64Array(labels);
		for (const [i, row] of rows.entries()) for (const k of row) out[k] += weights[i];
		return out;
	};
	return (weights) => ({ hits: sum(hits, weights), decided: sum(decided, weights), true: sum(real, weights) });
}

function ofImages(decisions: Rows, truth: Rows): PrecisionRecall {
	const mean = (measure: Measure) =>
		meanOf(
			decisions.map((row, i) => {
				const [decided, real] = [present(row), present(truth[i])];
				return measure(decided.filter((k) => truth[i][k] > 0).length, decided.length, real.length);
			}),
		);
	return { precision: mean(precision), recall: mean(recall), f1: mean(f1) };
}
