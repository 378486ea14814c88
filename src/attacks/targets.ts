/** @file Which label a targeted attack wants, and which labels the loss of an attack is computed for. */
import { KintsugiError } from "../errors.ts";
import type { Random } from "../tensor/random.ts";
import { argmax } from "./criteria.ts";

/**
 * How the target is chosen among the labels that are neither true nor the top label of the clean image:
 * drawn at random, the least likely one, the most likely one (`second-best`); or labels by their names.
 */
export const TARGET_RULES = ["random", "least-likely", "second-best"] as const;
export type TargetRule = (typeof TARGET_RULES)[number] | { label: string } | { labels: readonly string[] };

/** Labels of an untargeted loss: the model's top label, the true label it scores highest, or all true labels. */
export const LABEL_RULES = ["predicted", "best-true", "all-true"] as const;
export type LabelRule = (typeof LABEL_RULES)[number];

export interface TargetContext {
	/** Image id, for messages. */
	id: string;
	labels: readonly string[];
	/** Logits of the clean image, `[K]`. */
	clean: Float32Array;
	/** Multi-hot true labels, `[K]`. */
	truth: Float32Array;
	random: Random;
}

/** Indices of the target labels; throws `value` if no label is left or a named one does not exist. */
export function chooseTargets(rule: TargetRule, { id, labels, clean, truth, random }: TargetContext): number[] {
	if (typeof rule === "object") return namesOf(rule).map((label) => labelIndex(label, labels));
	const top = argmax(clean);
	const free = [...labels.keys()].filter((k) => k !== top && truth[k] === 0);
	if (free.length === 0) {
		throw new KintsugiError("value", {
			where: `target of image ${id}`,
			expected: "a label that is neither true nor predicted",
			found: `all ${labels.length} labels taken`,
			fix: "use more labels or an untargeted attack",
		});
	}
	if (rule === "random") return [random.pick(free)];
	const byLogit = free.sort((a, b) => clean[a] - clean[b] || a - b);
	return [rule === "least-likely" ? byLogit[0] : byLogit[byLogit.length - 1]];
}

const namesOf = (rule: Extract<TargetRule, object>): readonly string[] => ("labels" in rule ? rule.labels : [rule.label]);

/** Labels that a target rule names. */
export const namedTargets = (rule: "none" | TargetRule): readonly string[] => (typeof rule === "object" ? namesOf(rule) : []);

/** Indices of the labels that an attack wanted of an image, whose recorded target is `target`; undefined if it wanted none. */
export function targetsOf(rule: "none" | TargetRule, target: string | null | undefined, labels: readonly string[]): number[] | undefined {
	if (rule === "none" || target === null || target === undefined) return undefined;
	return (typeof rule === "object" ? namesOf(rule) : [target]).map((label) => labels.indexOf(label));
}

function labelIndex(label: string, labels: readonly string[]): number {
	const index = labels.indexOf(label);
	if (index < 0) {
		throw new KintsugiError("value", {
			where: "target",
			expected: `one of the classifier's labels (${labels.slice(0, 8).join(", ")}${labels.length > 8 ? ", ..." : ""})`,
			found: label,
			fix: "name a label that the classifier knows",
		});
	}
	return index;
}

/** Multi-hot labels `[K]` that an untargeted attack moves away from. */
export function lossLabels(rule: LabelRule, clean: Float32Array, truth: Float32Array): Float32Array {
	if (rule === "all-true" && truth.some((t) => t > 0)) return truth.slice();
	const trueLogits = clean.map((z, k) => (truth[k] > 0 ? z : Number.NEGATIVE_INFINITY));
	return oneHot(rule === "predicted" ? argmax(clean) : argmax(truth.some((t) => t > 0) ? trueLogits : clean), clean.length);
}

/** `[K]` with ones at these indices. */
export function hotAt(indices: readonly number[], length: number): Float32Array {
	const out = new Float32Array(length);
	for (const k of indices) out[k] = 1;
	return out;
}

/** `[K]` with a one at index `k`. */
export const oneHot = (k: number, length: number): Float32Array => hotAt([k], length);

/** The labels above their thresholds, or the top label alone where none is: what the model itself sees in an image. */
export function predictedLabels(logits: Float32Array, thresholds: Float32Array): Float32Array {
	const found = logits.map((z, k) => (z > thresholds[k] ? 1 : 0));
	return found.some((f) => f > 0) ? found : oneHot(argmax(logits), logits.length);
}
