/** @file Boxes [x, y, width, height] in pixels, and non-maximum suppression. */
import type { Detection } from "../detector.ts";

export type Box = Detection["box"];

/** Intersection over union, in [0, 1]; 0 for boxes without area. */
export function iou([ax, ay, aw, ah]: Box, [bx, by, bw, bh]: Box): number {
	const width = Math.max(0, Math.min(ax + aw, bx + bw) - Math.max(ax, bx));
	const height = Math.max(0, Math.min(ay + ah, by + bh) - Math.max(ay, by));
	const shared = width * height;
	const union = aw * ah + bw * bh - shared;
	return union > 0 ? shared / union : 0;
}

/** The part of a box that lies inside the canvas; its width or height is 0 where nothing does. */
export function clipBox([x, y, width, height]: Box, canvas: { width: number; height: number }): Box {
	const left = Math.min(canvas.width, Math.max(0, x));
	const top = Math.min(canvas.height, Math.max(0, y));
	const right = Math.min(canvas.width, Math.max(left, x + width));
	const bottom = Math.min(canvas.height, Math.max(top, y + height));
	return [left, top, right - left, bottom - top];
}

/** The smallest box around two. */
export function unite([ax, ay, aw, ah]: Box, [bx, by, bw, bh]: Box): Box {
	const x = Math.min(ax, bx);
	const y = Math.min(ay, by);
	return [x, y, Math.max(ax + aw, bx + bw) - x, Math.max(ay + ah, by + bh) - y];
}

/** A copy with the best score first; equals keep their order. */
export const bestFirst = (detections: readonly Detection[]): Detection[] => [...detections].sort((a, b) => b.score - a.score);

/**
 * Greedy non-maximum suppression among detections of the same label: the best one stays, others that overlap it by more
 * than `threshold` (IoU) go. Returns the rest, best first.
 */
export function nonMaximumSuppression(detections: readonly Detection[], threshold: number): Detection[] {
	const kept: Detection[] = [];
	for (const candidate of bestFirst(detections)) {
		const covered = kept.some((k) => k.label === candidate.label && iou(k.box, candidate.box) > threshold);
		if (!covered) kept.push(candidate);
	}
	return kept;
}
