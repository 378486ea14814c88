/** @file Which detections become regions. */
import type { Detection } from "../models/detector.ts";
import { type Box, bestFirst, clipBox, iou, nonMaximumSuppression, unite } from "../models/detectors/boxes.ts";

export interface RegionPolicy {
	/** Detections below this score are dropped. */
	threshold: number;
	/** At most this many regions, the best ones. */
	maxRegions: number;
	/** Regions whose shorter side, in canvas pixels, is below this are dropped. */
	minSize: number;
	/** Overlapping boxes of one label (IoU above `overlap`): keep the best, replace them by their union, or keep all. */
	overlapping: "suppress" | "merge" | "keep";
	overlap: number;
	/** Each side grows by this share of the box's width or height. */
	padding: number;
}

/** Unites boxes of one label that overlap by more than `overlap`, until none do; the best score stays. */
function merge(detections: readonly Detection[], overlap: number): Detection[] {
	const merged: Detection[] = [];
	for (let candidate of bestFirst(detections)) {
		for (;;) {
			const { label, box } = candidate;
			const index = merged.findIndex((m) => m.label === label && iou(m.box, box) > overlap);
			if (index < 0) break;
			const [other] = merged.splice(index, 1);
			candidate = { label, score: Math.max(other.score, candidate.score), box: unite(other.box, box) };
		}
		merged.push(candidate);
	}
	return bestFirst(merged);
}

const pad = ([x, y, width, height]: Box, share: number): Box => [
	x - share * width,
	y - share * height,
	width * (1 + 2 * share),
	height * (1 + 2 * share),
];

/** The detections that the policy accepts, padded and clipped to the canvas, best first. */
export function selectDetections(
	detections: readonly Detection[],
	{ threshold, maxRegions, minSize, overlapping, overlap, padding }: RegionPolicy,
	canvas: { width: number; height: number },
): Detection[] {
	const confident = detections.filter((d) => d.score >= threshold);
	const apart = {
		suppress: () => nonMaximumSuppression(confident, overlap),
		merge: () => merge(confident, overlap),
		keep: () => bestFirst(confident),
	}[overlapping]();
	return apart
		.map((d) => ({ ...d, box: clipBox(pad(d.box, padding), canvas) }))
		.filter(({ box }) => box[2] > 0 && box[3] > 0 && Math.min(box[2], box[3]) >= minSize)
		.slice(0, maxRegions);
}
