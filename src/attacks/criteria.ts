/** @file When an attack counts as successful. */
import { TOP_K } from "../autodiff/index.ts";

/** What a criterion may look at; all arrays are `[K]`. */
export interface Judgement {
	/** Logits of the clean image. */
	clean: Float32Array;
	/** Logits of the image that is judged. */
	logits: Float32Array;
	/** Multi-hot true labels. */
	truth: Float32Array;
	/** Logit above which a label counts as present. */
	thresholds: Float32Array;
	/** Indices of the labels that a targeted attack wants. */
	target?: readonly number[] | undefined;
	/** k of "top-k-lost". */
	k?: number | undefined;
}

export type Criterion = (judgement: Judgement) => boolean;

/** Index of the largest value; the first one of equals. */
export function argmax(values: ArrayLike<number>): number {
	let best = 0;
	for (let k = 1; k < values.length; k++) if (values[k] > values[best]) best = k;
	return best;
}

/** Indices of the k largest values, the first of equals first. */
export const topLabels = (values: ArrayLike<number>, k: number): number[] =>
	Array.from(values, (_, i) => i)
		.sort((a, b) => values[b] - values[a] || a - b)
		.slice(0, k);

const present = (logits: Float32Array, thresholds: Float32Array, k: number) => logits[k] > thresholds[k];

const some = (length: number, test: (k: number) => boolean): boolean => {
	for (let k = 0; k < length; k++) if (test(k)) return true;
	return false;
};

export const criteria = {
	/** The top label is another one than on the clean image (the paper's success). */
	"label-changed": ({ clean, logits }) => argmax(logits) !== argmax(clean),
	/** The top label is not among the true labels; may hold for the clean image already. */
	"top-label-wrong": ({ logits, truth }) => truth[argmax(logits)] === 0,
	/** A true label that was found in the clean image is no longer found. */
	"any-true-label-lost": ({ clean, logits, truth, thresholds }) =>
		some(truth.length, (k) => truth[k] > 0 && present(clean, thresholds, k) && !present(logits, thresholds, k)),
	/** No true label that was found in the clean image is found any more. */
	"all-true-labels-lost": ({ clean, logits, truth, thresholds }) => {
		const found = (z: Float32Array) =>
			some(truth.length, (k) => truth[k] > 0 && present(clean, thresholds, k) && present(z, thresholds, k));
		return found(clean) && !found(logits);
	},
	/** No true label is among the k top ones (Hu et al., ICCV 2021, arXiv 2108.00146); may hold for the clean image already. */
	"top-k-lost": ({ logits, truth, k = TOP_K }) => topLabels(logits, k).every((i) => truth[i] === 0),
	/** The set of labels above their thresholds is another one than on the clean image. */
	"set-changed": ({ clean, logits, thresholds }) =>
		some(clean.length, (k) => present(clean, thresholds, k) !== present(logits, thresholds, k)),
	/** The top label is the attacker's target; of several targets, the top labels are these and no others. */
	"target-reached": ({ logits, target }) => target !== undefined && topLabels(logits, target.length).every((k) => target.includes(k)),
	/** The labels above their thresholds are the attacker's targets and no others. */
	"target-set-reached": ({ logits, thresholds, target }) =>
		target !== undefined && !some(logits.length, (k) => present(logits, thresholds, k) !== target.includes(k)),
} satisfies Record<string, Criterion>;

export type CriterionName = keyof typeof criteria;

export const CRITERIA = Object.keys(criteria) as [CriterionName, ...CriterionName[]];
