/** @file The metric panel of one set of images, with bootstrap intervals over the images of a run. */

import { decide, overallF1, perLabelF1, precisionRecall } from "../metrics/decisions.ts";
import { type BootstrapOptions, bootstrap, type Estimate, wilson } from "../metrics/intervals.ts";
import { meanAveragePrecision, precisionAt, topK } from "../metrics/ranking.ts";
import { meanOf, recovered, type Statistic } from "../metrics/statistic.ts";
import type { RecordRow } from "./records.ts";
import type { Panel } from "./summary.ts";

/** Scores of images, several for an image where a purifier was repeated. */
export interface ScoredRow {
	position: number;
	truth: readonly string[] | null;
	scoresClean: readonly number[];
	scores: readonly number[];
}

/** What entered the purifiers, and what came out of them. */
export const before = (row: RecordRow): ScoredRow => ({ ...row, scores: row.scoresBefore });
export const after = (row: RecordRow): ScoredRow => ({ ...row, scores: row.scoresAfter });

export interface Estimator {
	panel(rows: readonly ScoredRow[]): Panel;
	/** Share of values that are true, one value a row. */
	share(rows: readonly { position: number }[], values: readonly boolean[]): Estimate;
	/** Share of the loss of P@1 that came back, on the images that were purified. */
	recovered(rows: { clean: readonly ScoredRow[]; adversarial: readonly ScoredRow[]; purified: readonly ScoredRow[] }): Estimate;
}

export interface EstimatorOptions extends BootstrapOptions {
	labels: readonly string[];
	thresholds: ArrayLike<number>;
	/** Positions of all images of the run: what is resampled. */
	positions: readonly number[];
}

/** Metrics of any subset of a run's images; all intervals come from the same resamples of the run's images. */
export function estimator({ labels, thresholds, positions, ...options }: EstimatorOptions): Estimator {
	const index = new Map(positions.map((position, i) => [position, i]));
	const { estimate } = bootstrap(positions.length, options);
	const undefinedEstimate: Estimate = { value: null, low: null, high: null, n: 0 };
	const multiHot = (truth: readonly string[]) => Uint8Array.from(labels, (label) => (truth.includes(label) ? 1 : 0));

	/** A statistic of rows as one of the run's images: rows of one image count as often as it does. */
	const overImages = (rows: readonly { position: number }[], statistic: Statistic): Statistic => {
		const image = rows.map(({ position }) => index.get(position) ?? 0);
		return { n: new Set(image).size, of: (weights) => statistic.of(image.map((i) => weights[i])) };
	};
	const measure = (rows: readonly { position: number }[], statistic: () => Statistic): Estimate =>
		rows.length === 0 ? undefinedEstimate : estimate(overImages(rows, statistic()));

	/** A share's bootstrap interval is empty where all or none agree; Wilson's is not. */
	const proportion = (rows: readonly { position: number }[], values: readonly number[]): Estimate => {
		if (rows.length === 0) return undefinedEstimate;
		const found = estimate(overImages(rows, meanOf(values)));
		if (found.value !== 0 && found.value !== 1) return found;
		return { ...wilson(found.value * found.n, found.n), n: found.n };
	};
	const precisionAt1 = (rows: readonly ScoredRow[]): Statistic =>
		precisionAt(
			1,
			rows.map((r) => r.scores),
			rows.map((r) => multiHot(r.truth ?? [])),
		);

	return {
		panel(rows) {
			const known = rows.filter(({ truth }) => truth !== null);
			const scores = known.map((r) => r.scores);
			const truth = known.map((r) => multiHot(r.truth ?? []));
			const decisions = decide(scores, thresholds);
			const samples = precisionRecall("samples", decisions, truth);
			const right = known.map(({ scores: s }, i) => truth[i][topK(s, 1)[0]]);
			return {
				precisionAt1: proportion(known, right),
				precision: measure(known, () => samples.precision),
				recall: measure(known, () => samples.recall),
				f1: measure(known, () => samples.f1),
				perLabelF1: measure(known, () => perLabelF1(decisions, truth)),
				overallF1: measure(known, () => overallF1(decisions, truth)),
				mAP: measure(known, () => meanAveragePrecision(scores, truth)),
				labelChanged: proportion(
					rows,
					rows.map((r) => Number(topK(r.scores, 1)[0] !== topK(r.scoresClean, 1)[0])),
				),
			};
		},
		share: (rows, values) => proportion(rows, values.map(Number)),
		recovered({ clean, adversarial, purified }) {
			const kept = new Set(purified.filter(({ truth }) => truth !== null).map(({ position }) => position));
			if (kept.size === 0) return undefinedEstimate;
			const statistic = (rows: readonly ScoredRow[]) => {
				const same = rows.filter(({ position }) => kept.has(position));
				return overImages(same, precisionAt1(same));
			};
			return estimate({
				...recovered({ clean: statistic(clean), adversarial: statistic(adversarial), purified: statistic(purified) }),
				n: kept.size,
			});
		},
	};
}
