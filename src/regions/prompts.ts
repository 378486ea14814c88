/** @file What the inpainting model is told to paint in a region. */
import type { Detection } from "../models/detector.ts";
import { type Box, iou } from "../models/detectors/boxes.ts";
import type { Random } from "../tensor/random.ts";

/**
 * - `label`: the template with the detector's label.
 * - `empty`: nothing, so that a gain cannot come from the detector's labels.
 * - `generic`: one sentence for every region.
 * - `shuffled`: the template with another label, drawn at random: what wrong labels cost.
 * - `oracle`: the template with the label of the annotation that overlaps most; empty where none does.
 */
export const PROMPT_RULES = ["label", "empty", "generic", "shuffled", "oracle"] as const;
export type PromptRule = (typeof PROMPT_RULES)[number];

/** A true object in canvas pixels. */
export interface TrueObject {
	label: string;
	box: Box;
}

export interface PromptContext {
	rule: PromptRule;
	/** `{label}` is replaced. */
	template: string;
	generic: string;
	/** Labels that `shuffled` draws from. */
	vocabulary: readonly string[];
	/** True objects for `oracle`. */
	objects: readonly TrueObject[];
	random: Random;
}

const fill = (template: string, label: string) => template.replaceAll("{label}", label);

/** The true object that overlaps a box most; undefined where none overlaps it. */
function closest(box: Box, objects: readonly TrueObject[]): TrueObject | undefined {
	const overlaps = objects.map((object) => ({ object, overlap: iou(box, object.box) })).filter(({ overlap }) => overlap > 0);
	return overlaps.sort((a, b) => b.overlap - a.overlap)[0]?.object;
}

/** The prompt of one region. */
export function promptFor({ label, box }: Detection, { rule, template, generic, vocabulary, objects, random }: PromptContext): string {
	switch (rule) {
		case "label":
			return fill(template, label);
		case "empty":
			return "";
		case "generic":
			return generic;
		case "shuffled": {
			const others = vocabulary.filter((other) => other !== label);
			return others.length > 0 ? fill(template, random.pick(others)) : "";
		}
		case "oracle": {
			const object = closest(box, objects);
			return object ? fill(template, object.label) : "";
		}
	}
}
