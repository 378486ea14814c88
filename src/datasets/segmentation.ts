/** @file Masks of COCO annotations, from polygons or run lengths. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import type { Annotation } from "./dataset.ts";
import { rleToMask } from "./rle.ts";

const polygonsOrRle = z.union([
	z.array(z.array(z.number()).min(6)).min(1),
	z.object({ size: z.tuple([z.number(), z.number()]), counts: z.union([z.string(), z.array(z.number())]) }),
]);

/**
 * The pixels of an annotated object: uint8 [height, width], 0 or 1; the box where the annotation has no outline.
 * A polygon covers the pixels whose centres lie inside (pycocotools also takes some along the edge).
 * Throws `dataset` if the outline is neither polygons nor run lengths of that size.
 */
export function annotationMask({ box, segmentation }: Annotation, width: number, height: number): Uint8Array {
	const mask = new Uint8Array(width * height);
	if (segmentation === undefined) {
		const [x, y, w, h] = box;
		fillPolygon(mask, width, height, [x, y, x + w, y, x + w, y + h, x, y + h]);
		return mask;
	}
	const parsed = polygonsOrRle.safeParse(segmentation);
	const fits = parsed.success && (Array.isArray(parsed.data) || (parsed.data.size[0] === height && parsed.data.size[1] === width));
	if (!fits) {
		throw new KintsugiError("dataset", {
			where: "segmentation",
			expected: `polygons, or run lengths of ${height} x ${width} pixels`,
			found: parsed.success ? "run lengths of another size" : "something else",
			fix: "repair the annotation",
		});
	}
	if (!Array.isArray(parsed.data)) return rleToMask(parsed.data);
	for (const polygon of parsed.data) fillPolygon(mask, width, height, polygon);
	return mask;
}

/** Sets the pixels whose centres an even-odd scan line finds inside [x0, y0, x1, y1, ...]. */
function fillPolygon(mask: Uint8Array, width: number, height: number, polygon: readonly number[]): void {
	const corners = polygon.length / 2;
	for (let row = 0; row < height; row++) {
		const y = row + 0.5;
		const crossings: number[] = [];
		for (let i = 0; i < corners; i++) {
			const j = (i + 1) % corners;
			const [y0, y1] = [polygon[2 * i + 1], polygon[2 * j + 1]];
			if (y0 <= y === y1 <= y) continue;
			crossings.push(polygon[2 * i] + ((y - y0) / (y1 - y0)) * (polygon[2 * j] - polygon[2 * i]));
		}
		crossings.sort((a, b) => a - b);
		for (let k = 0; k + 1 < crossings.length; k += 2) {
			const from = Math.max(Math.ceil(crossings[k] - 0.5), 0);
			const to = Math.min(Math.ceil(crossings[k + 1] - 0.5), width);
			if (to > from) mask.fill(1, row * width + from, row * width + to);
		}
	}
}
