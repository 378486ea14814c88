import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { annotationMask } from "./segmentation.ts";

const COCO = new URL("../../../shared/coco/annotations/instances_train2017.json", import.meta.url);

const object = (segmentation?: unknown, box: [number, number, number, number] = [1, 1, 2, 3]) => ({
	label: "a",
	box,
	crowd: false,
	segmentation,
});
const draw = (mask: Uint8Array, width: number) =>
	Array.from({ length: mask.length / width }, (_, y) => [...mask.subarray(y * width, (y + 1) * width)].map((v) => ".#"[v]).join(""));

describe("annotationMask", () => {
	it("fills polygons, joins several, clips at the border", () => {
		const triangle = [0, 0, 4, 0, 0, 4];
		const corner = [3, 3, 9, 3, 9, 9, 3, 9];
		expect(draw(annotationMask(object([triangle, corner]), 5, 5), 5)).toEqual(["###..", "##...", "#....", "...##", "...##"]);
	});

	it("leaves the hole of a polygon that runs round twice in opposite places", () => {
		const ring = [0, 0, 5, 0, 5, 5, 0, 5, 0, 0, 1, 1, 4, 1, 4, 4, 1, 4, 1, 1];
		expect(draw(annotationMask(object([ring]), 5, 5), 5)).toEqual(["#####", "#...#", "#...#", "#...#", "#####"]);
	});

	it("fills the box where there is no outline, and reads run lengths", () => {
		expect(draw(annotationMask(object(), 4, 4), 4)).toEqual(["....", ".##.", ".##.", ".##."]);
		expect(draw(annotationMask(object({ size: [2, 3], counts: [1, 2, 3] }), 3, 2), 3)).toEqual([".#.", "#.."]);
	});

	it("refuses what is neither, and run lengths of another size", () => {
		expect(() => annotationMask(object([[1, 2]]), 4, 4)).toThrow(/polygons, or run lengths of 4 x 4/);
		expect(() => annotationMask(object({ size: [2, 3], counts: [6] }), 4, 4)).toThrow(/another size/);
	});

	it.skipIf(!existsSync(COCO))("covers as many pixels as COCO says, within the edge", () => {
		const file = JSON.parse(readFileSync(COCO, "utf8")) as {
			images: { id: number; width: number; height: number }[];
			annotations: { image_id: number; area: number; bbox: [number, number, number, number]; segmentation: unknown[] }[];
		};
		const images = new Map(file.images.map((image) => [image.id, image]));
		const outlined = file.annotations.filter((a) => !Array.isArray(a.segmentation) || a.segmentation.length > 0).slice(0, 200);
		for (const { image_id, area, bbox, segmentation } of outlined) {
			const { width = 0, height = 0 } = images.get(image_id) ?? {};
			const found = annotationMask(object(segmentation, bbox), width, height).reduce((sum, v) => sum + v, 0);
			expect(Math.abs(found - area)).toBeLessThan(4 * (bbox[2] + bbox[3]) ** 0.5 + 0.03 * area + 4);
		}
	});
});
