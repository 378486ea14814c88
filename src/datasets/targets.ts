/** @file What is true of an image, as a classifier's target. */
import { KintsugiError } from "../errors.ts";
import type { Sample } from "./dataset.ts";

/** 1 for each label that stands in the image, crowds included, else 0: float32 [labels]; throws `dataset` if the sample has no annotations field. */
export function multiHot(sample: Sample, labels: readonly string[]): Float32Array {
	if (!sample.annotations) {
		throw new KintsugiError("dataset", {
			where: sample.path,
			expected: "annotations",
			found: "an image without labels",
			fix: "use an annotated data set, or ask only for what needs no labels",
		});
	}
	const present = new Set(sample.annotations.map(({ label }) => label));
	return Float32Array.from(labels, (label) => (present.has(label) ? 1 : 0));
}
