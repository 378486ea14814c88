/** @file What attacks on each classifier do to the others, as plain data: the content of `transfer.json`. No times, dates or paths. */
import { argmax } from "../../attacks/criteria.ts";
import type { AttackSpec } from "../../attacks/schema.ts";
import type { Estimate } from "../../metrics/intervals.ts";
import { estimator } from "../panel.ts";
import type { NamedAttack } from "../plan.ts";

/** What one classifier says of one image. */
export interface TransferRow {
	position: number;
	/** Classifier that was attacked, and classifier that judges. */
	source: string;
	attack: string;
	judge: string;
	/** True labels among the common ones. */
	truth: readonly string[];
	/** Logits of the judging classifier for the common labels. */
	clean: readonly number[];
	adversarial: readonly number[];
	/** Label that a targeted attack wants, if it is a common one. */
	wanted: string | undefined;
}

export interface TransferCell {
	source: string;
	attack: string;
	judge: string;
	/**
	 * Untargeted: share of the images that the judging classifier had right whose top label is now wrong.
	 * Targeted: share of the images whose top label is now the one that the attacker wanted.
	 */
	success: Estimate;
	/** Share of adversarial images whose top label is true. */
	precisionAt1: Estimate;
}

export interface TransferSummary {
	format: 1;
	name: string;
	seed: number;
	images: number;
	/** Labels that the data set and every classifier know: all others are left out of every decision. */
	labels: readonly string[];
	canvas: { height: number; width: number };
	dataset: { name: string; hash: string };
	classifiers: { name: string; hash: string; labels: number; precisionAt1: Estimate }[];
	attacks: { attack: string; targeted: boolean; options: AttackSpec }[];
	cells: TransferCell[];
	bootstrap: { samples: number; confidence: number };
	warnings: string[];
}

export interface SummariseTransfer
	extends Pick<TransferSummary, "name" | "seed" | "images" | "labels" | "canvas" | "dataset" | "bootstrap" | "warnings"> {
	classifiers: readonly { name: string; hash: string; labels: number }[];
	attacks: readonly NamedAttack[];
	rows: readonly TransferRow[];
	/** Clean images as each classifier sees them, by its name. */
	clean: ReadonlyMap<string, readonly Omit<TransferRow, "source" | "attack" | "adversarial" | "wanted">[]>;
}

/** The matrix: a function of the rows alone, so equal runs have equal summaries. */
export function summariseTransfer({ rows, clean, classifiers, attacks, ...facts }: SummariseTransfer): TransferSummary {
	const { labels, seed, bootstrap } = facts;
	const positions = [...new Set([...clean.values()].flat().map(({ position }) => position))].sort((a, b) => a - b);
	const { share } = estimator({ labels, thresholds: labels.map(() => 0), positions, seed, ...bootstrap });
	const right = (truth: readonly string[], logits: readonly number[]) => truth.includes(labels[argmax(logits)]);

	const cell = (source: string, { name: attack, spec }: NamedAttack, judge: string): TransferCell => {
		const mine = rows.filter((r) => r.source === source && r.attack === attack && r.judge === judge);
		const targeted = spec.target !== "none";
		const counted = mine.filter((r) => (targeted ? r.wanted !== undefined : right(r.truth, r.clean)));
		const fooled = counted.map((r) => (targeted ? labels[argmax(r.adversarial)] === r.wanted : !right(r.truth, r.adversarial)));
		const precisionAt1 = share(
			mine,
			mine.map((r) => right(r.truth, r.adversarial)),
		);
		return { source, attack, judge, success: share(counted, fooled), precisionAt1 };
	};
	const names = classifiers.map(({ name }) => name);
	return {
		format: 1,
		...facts,
		classifiers: classifiers.map((classifier) => {
			const seen = clean.get(classifier.name) ?? [];
			const precisionAt1 = share(
				seen,
				seen.map((r) => right(r.truth, r.clean)),
			);
			return { ...classifier, precisionAt1 };
		}),
		attacks: attacks.map(({ name, spec }) => ({ attack: name, targeted: spec.target !== "none", options: spec })),
		cells: attacks.flatMap((attack) => names.flatMap((source) => names.map((judge) => cell(source, attack, judge)))),
	};
}
