/** @file When an attack counts as successful. */
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
	/** Index of the label that a targeted attack wants. */
	target?: number;
}

export type Criterion = (judgement: Judgement) => boolean;

/** Index of the largest value; the first one of equals. */
export function argmax(values: ArrayLike<number>): number {
	let best = 0;
	for (let k = 1; k < values.length; k++) if (values[k] > values[best]) best = k;
	return best;
}

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
	/** The set of labels above their thresholds is another one than on the clean image. */
	"set-changed": ({ clean, logits, thresholds }) =>
		some(clean.length, (k) => present(clean, thresholds, k) !== present(logits, thresholds, k)),
	/** The top label is the attacker's target. */
	"target-reached": ({ logits, target }) => target !== undefined && argmax(logits) === target,
} satisfies Record<string, Criterion>;

export type CriterionName = keyof typeof criteria;

export const CRITERIA = Object.keys(criteria) as [CriterionName, ...CriterionName[]];
