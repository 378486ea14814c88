/** @file Gradients of a classifier for an attack: cleaned of what is not finite, and counted for the report. */
import type { Classifier, LossGradient, LossName, LossParameters } from "../models/classifier.ts";
import { row, type Tensor, tensor } from "../tensor/tensor.ts";

/** What is counted for one image. */
export interface Counters {
	nan: number;
	zeroGradients: number;
	evaluations: number;
}

export const nonFinite = (values: Float32Array): number => values.reduce((n, v) => n + (Number.isFinite(v) ? 0 : 1), 0);

/** Replaces what is not finite by zero and counts it. */
function cleanGradient(gradient: Float32Array, counters: Counters): void {
	counters.evaluations++;
	let zero = true;
	for (let i = 0; i < gradient.length; i++) {
		if (!Number.isFinite(gradient[i])) {
			counters.nan++;
			gradient[i] = 0;
		}
		if (gradient[i] !== 0) zero = false;
	}
	if (zero) counters.zeroGradients++;
}

/** The classifier's loss gradients for rows of a problem, whose counters grow. */
export function countingGradients(
	classifier: Classifier,
	counters: readonly Counters[],
	{ signal, k }: LossParameters & { signal?: AbortSignal | undefined },
) {
	return async (loss: LossName, rows: readonly number[], candidates: Tensor, targets: Tensor): Promise<LossGradient> => {
		signal?.throwIfAborted();
		const evaluate = await classifier.lossGradient(loss, { k });
		const result = await evaluate(candidates, targets);
		rows.forEach((n, i) => {
			cleanGradient(row(result.gradient, i).data, counters[n]);
		});
		return result;
	};
}

export const negated = ({ loss, logits, gradient }: LossGradient): LossGradient => ({
	loss: loss.map((l) => -l),
	logits,
	gradient: tensor(
		gradient.data.map((g) => -g),
		gradient.dims,
	),
});
