/** @file Expectation over transformation (Athalye et al., ICML 2018, arXiv 1707.07397): the mean gradient of a randomised classifier. */
import type { LossGradient } from "../models/classifier.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { AttackProblem } from "./attack.ts";

type Gradients = AttackProblem["lossGradient"];

/** Mean of equally long arrays. */
function mean(arrays: readonly Float32Array[]): Float32Array {
	const sum = new Float64Array(arrays[0].length);
	for (const values of arrays) for (let i = 0; i < sum.length; i++) sum[i] += values[i];
	return Float32Array.from(sum, (v) => v / arrays.length);
}

const meanTensor = (tensors: readonly Tensor[]): Tensor => tensor(mean(tensors.map((t) => t.data)), tensors[0].dims);

/** Loss, logits and gradient as means of `samples` calls, of which a randomised classifier answers each with new draws. */
export function averaged(gradients: Gradients, samples: number): Gradients {
	if (samples === 1) return gradients;
	return async (...asked) => {
		const drawn: LossGradient[] = [];
		for (let i = 0; i < samples; i++) drawn.push(await gradients(...asked));
		return {
			loss: mean(drawn.map(({ loss }) => loss)),
			logits: meanTensor(drawn.map(({ logits }) => logits)),
			gradient: meanTensor(drawn.map(({ gradient }) => gradient)),
		};
	};
}
