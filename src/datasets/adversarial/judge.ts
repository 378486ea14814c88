/** @file Whether an image counts as a success, from logits alone: said once when it is made and again when it is verified. */
import type { AttackOptions } from "../../attacks/attack.ts";
import { criteria, topLabels } from "../../attacks/criteria.ts";
import { predictedLabels, targetsOf } from "../../attacks/targets.ts";
import type { Classifier } from "../../models/classifier.ts";
import type { Ranking } from "./row.ts";

export interface Case {
	/** Logits `[K]` of the clean image. */
	clean: Float32Array;
	/** True labels by name; null: the model's own labels on the clean image stand for them. */
	truth: readonly string[] | null;
	/** What a targeted attack wants, as its outcome says it. */
	target: string | null;
}

type Names = Pick<Classifier, "labels" | "thresholds">;

/** Tells for logits `[K]` whether they meet an attack's criterion. */
export function judge(
	{ labels, thresholds }: Names,
	spec: Pick<AttackOptions, "criterion" | "target" | "k">,
	{ clean, truth, target }: Case,
) {
	const known = truth === null ? predictedLabels(clean, thresholds) : Float32Array.from(labels, (label) => (truth.includes(label) ? 1 : 0));
	const wanted = targetsOf(spec.target, target, labels);
	return (logits: Float32Array): boolean =>
		criteria[spec.criterion]({ clean, logits, truth: known, thresholds, target: wanted, k: spec.k });
}

const RANKED = 5;

/** The labels with the largest logits, the first of equals first. */
export function rank({ labels }: Pick<Classifier, "labels">, logits: Float32Array): Ranking {
	const order = topLabels(logits, RANKED);
	return { labels: order.map((k) => labels[k]), logits: order.map((k) => logits[k]) };
}
