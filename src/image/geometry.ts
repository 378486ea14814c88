/** @file Axis-aligned maps between two pictures of the same scene: a file and its canvas, a canvas and the model's input. */
import type { Size } from "./rgb.ts";

/** [x, y, width, height] in pixels, as in COCO. */
export type Box = readonly [number, number, number, number];

/** A point (x, y) of `from` lies at (x * scaleX + offsetX, y * scaleY + offsetY) of `to`; pixel edges, not centres. */
export interface Mapping {
	readonly from: Size;
	readonly to: Size;
	readonly scaleX: number;
	readonly scaleY: number;
	readonly offsetX: number;
	readonly offsetY: number;
}

/** The whole of `from` onto the whole of `to`. */
export const stretch = (from: Size, to: Size): Mapping => ({
	from,
	to,
	scaleX: to.width / from.width,
	scaleY: to.height / from.height,
	offsetX: 0,
	offsetY: 0,
});

/** The way back. */
export const inverse = ({ from, to, scaleX, scaleY, offsetX, offsetY }: Mapping): Mapping => ({
	from: to,
	to: from,
	scaleX: 1 / scaleX,
	scaleY: 1 / scaleY,
	offsetX: -offsetX / scaleX,
	offsetY: -offsetY / scaleY,
});

/** `first`, then `second`. */
export const compose = (first: Mapping, second: Mapping): Mapping => ({
	from: first.from,
	to: second.to,
	scaleX: first.scaleX * second.scaleX,
	scaleY: first.scaleY * second.scaleY,
	offsetX: first.offsetX * second.scaleX + second.offsetX,
	offsetY: first.offsetY * second.scaleY + second.offsetY,
});

/** Where a box of `from` lies in `to`, cut at the border; undefined if nothing of it is inside. */
export function mapBox([x, y, width, height]: Box, { to, scaleX, scaleY, offsetX, offsetY }: Mapping): Box | undefined {
	const left = Math.max(0, x * scaleX + offsetX);
	const top = Math.max(0, y * scaleY + offsetY);
	const right = Math.min(to.width, (x + width) * scaleX + offsetX);
	const bottom = Math.min(to.height, (y + height) * scaleY + offsetY);
	return right > left && bottom > top ? [left, top, right - left, bottom - top] : undefined;
}
