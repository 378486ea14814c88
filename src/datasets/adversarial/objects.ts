/** @file Annotated objects carried over to the canvas: boxes, polygons and run-length masks. */
import { type Box, type Mapping, mapBox } from "../../image/geometry.ts";
import type { Annotation } from "../dataset.ts";
import { maskToCounts, packCounts, type Rle, rleToMask } from "../rle.ts";
import { annotationMask } from "../segmentation.ts";

/** Digits after the point of mapped coordinates, as in COCO's own files. */
const DIGITS = 2;
const rounded = (v: number): number => Number(v.toFixed(DIGITS));

export interface CanvasObject {
	label: string;
	/** [x, y, width, height] in pixels of the canvas. */
	box: Box;
	crowd: boolean;
	/** Polygons, or run lengths of the canvas's size. */
	segmentation?: number[][] | Rle;
	/** Pixels of the mask, or of the box where there is no mask. */
	area: number;
}

const isIdentity = ({ from, to, scaleX, scaleY, offsetX, offsetY }: Mapping): boolean =>
	from.width === to.width && from.height === to.height && scaleX === 1 && scaleY === 1 && offsetX === 0 && offsetY === 0;

/** Objects that lie on the canvas, at least in part; what lies on it whole and unscaled keeps its coordinates. */
export function objectsOnCanvas(annotations: readonly Annotation[], mapping: Mapping): CanvasObject[] {
	const { from, to } = mapping;
	return annotations.flatMap((annotation) => {
		const box = isIdentity(mapping) ? annotation.box : mapBox(annotation.box, mapping)?.map(rounded);
		if (!box) return [];
		const { label, crowd } = annotation;
		const segmentation = isIdentity(mapping) ? outlineOf(annotation) : mapOutline(outlineOf(annotation), mapping);
		const here: CanvasObject = { label, box: box as unknown as Box, crowd, area: rounded(box[2] * box[3]) };
		if (!segmentation) return [here];
		// Throws for outlines that are neither polygons nor run lengths of the file's size.
		const size = isIdentity(mapping) ? from : to;
		const mask = annotationMask({ ...annotation, segmentation }, size.width, size.height);
		return [{ ...here, segmentation, area: mask.reduce((sum, v) => sum + v, 0) }];
	});
}

const outlineOf = ({ segmentation }: Annotation) => segmentation as number[][] | Rle | undefined;

function mapOutline(outline: number[][] | Rle | undefined, mapping: Mapping): number[][] | Rle | undefined {
	if (outline === undefined) return undefined;
	if (!Array.isArray(outline)) return mapRle(outline, mapping);
	const polygons = outline.map((polygon) => mapPolygon(polygon, mapping)).filter((polygon) => polygon.length >= 6);
	return polygons.length > 0 ? polygons : undefined;
}

/** Every pixel of the canvas takes the value of the pixel of the file under its centre. */
function mapRle(rle: Rle, { from, to, scaleX, scaleY, offsetX, offsetY }: Mapping): Rle | undefined {
	const mask = rleToMask(rle);
	const out = new Uint8Array(to.width * to.height);
	for (let y = 0; y < to.height; y++) {
		const row = Math.floor((y + 0.5 - offsetY) / scaleY);
		if (row < 0 || row >= from.height) continue;
		for (let x = 0; x < to.width; x++) {
			const column = Math.floor((x + 0.5 - offsetX) / scaleX);
			if (column >= 0 && column < from.width) out[y * to.width + x] = mask[row * from.width + column];
		}
	}
	return out.includes(1) ? { size: [to.height, to.width], counts: packCounts(maskToCounts(out, to.height, to.width)) } : undefined;
}

type Point = readonly [x: number, y: number];

/** A polygon [x0, y0, x1, y1, ...] on the canvas, cut at its four sides (Sutherland and Hodgman). */
function mapPolygon(polygon: readonly number[], { to, scaleX, scaleY, offsetX, offsetY }: Mapping): number[] {
	let points: Point[] = Array.from({ length: Math.floor(polygon.length / 2) }, (_, i) => [
		polygon[2 * i] * scaleX + offsetX,
		polygon[2 * i + 1] * scaleY + offsetY,
	]);
	for (const [axis, limit, sign] of [
		[0, 0, 1],
		[0, to.width, -1],
		[1, 0, 1],
		[1, to.height, -1],
	] as const) {
		points = cut(points, (p) => sign * (p[axis] - limit));
	}
	return points.flatMap(([x, y]) => [rounded(x), rounded(y)]);
}

/** What of a polygon lies where `inside` is not negative; `inside` is linear. */
function cut(points: readonly Point[], inside: (p: Point) => number): Point[] {
	return points.flatMap((here, i) => {
		const before = points[(i + points.length - 1) % points.length];
		const [a, b] = [inside(before), inside(here)];
		const t = a / (a - b);
		const crossing: Point[] = a < 0 !== b < 0 ? [[before[0] + t * (here[0] - before[0]), before[1] + t * (here[1] - before[1])]] : [];
		return b < 0 ? crossing : [...crossing, here];
	});
}
