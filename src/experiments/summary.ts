/** @file What a run found, as plain data: the content of `summary.json`. Deterministic: no times, dates or paths. */
import type { Estimate } from "../metrics/intervals.ts";
import type { Options } from "./plan.ts";

/** Multi-label quality of the classifier on one set of images. */
export interface Panel {
	/** Share of images whose top label is true (the paper's precision). */
	precisionAt1: Estimate;
	/** Of the labels above their thresholds: averaged over images. */
	precision: Estimate;
	recall: Estimate;
	f1: Estimate;
	/** F1 of the mean precision and recall of the labels (CF1), and of all decisions together (OF1). */
	perLabelF1: Estimate;
	overallF1: Estimate;
	/** Mean over labels of the average precision. */
	mAP: Estimate;
	/** Share of images whose top label is not that of the clean, unpurified image. */
	labelChanged: Estimate;
}

export interface PurifiedSummary {
	purifier: string;
	panel: Panel;
	/** (purified - adversarial) / (clean - adversarial) of P@1, on the same images; null for clean images. */
	recovered: Estimate | null;
	/** Images that were purified, and the mean number of regions in them. */
	images: number;
	regionsPerImage: number | null;
}

export interface AttackSummary {
	attack: string;
	/** Attacks of one family differ in epsilon alone. */
	family: string;
	/** The classifier alone was attacked; the attacker did not know the purifier. */
	threat: "static";
	options: Options;
	epsilon: number;
	targeted: boolean;
	criterion: string;
	successRate: Estimate;
	successRateBeforeRounding: Estimate;
	/** Images that met the criterion before they were attacked. */
	alreadyFooled: number;
	/** Largest change of a pixel, and mean Euclidean distance, over all images. */
	linf: number;
	l2: number;
	imagesWithZeroGradient: number;
	nanCount: number;
	adversarial: Panel;
	purified: PurifiedSummary[];
}

export interface Summary {
	format: 1;
	experiment: {
		name: string;
		seed: number;
		/** Names everything that decides the records. */
		plan: string;
		images: number;
		failed: number;
		labels: readonly string[];
		canvas: { height: number; width: number };
		bootstrap: { samples: number; confidence: number };
	};
	/** Names and sha256 of what made the numbers. */
	made: {
		dataset: { name: string; hash: string };
		classifier: { name: string; hash: string };
		detector: { name: string; hash: string } | null;
		purifiers: { name: string; purifier: string; options: Options }[];
	};
	clean: { panel: Panel; purified: PurifiedSummary[] };
	attacks: AttackSummary[];
	failures: { image: string; stage: string; code: string }[];
	warnings: string[];
}
