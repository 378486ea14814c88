import { describe, expect, it } from "vitest";
import { toCanvas } from "../../image/canvas.ts";
import type { Mapping } from "../../image/geometry.ts";
import type { Annotation } from "../dataset.ts";
import { maskToCounts, packCounts } from "../rle.ts";
import { annotationMask } from "../segmentation.ts";
import { type CanvasObject, objectsOnCanvas } from "./objects.ts";

const FILE = { width: 90, height: 60 };
const picture = { ...FILE, data: new Uint8Array(90 * 60 * 3) };
const mappings: Record<string, Mapping> = {
	letterbox: toCanvas(picture, { width: 64, height: 64, policy: "letterbox" }).mapping,
	crop: toCanvas(picture, { width: 64, height: 64, policy: "crop" }).mapping,
	stretch: toCanvas(picture, { width: 200, height: 50, policy: "stretch" }).mapping,
};
const identity = toCanvas(picture, FILE).mapping;

/** A concave outline with a bay that the border of `crop` cuts through. */
const BAY = [5.5, 10, 40, 10, 40, 20, 12, 20, 12, 30, 40, 30, 40, 50, 5.5, 50];
const annotation = (fields: Partial<Annotation>): Annotation => ({ label: "dog", box: [5.5, 10, 34.5, 40], crowd: false, ...fields });
const maskOf = ({ box, segmentation, crowd, label }: CanvasObject, { to }: Mapping) =>
	annotationMask({ box, segmentation, crowd, label }, to.width, to.height);

/** The file's mask as the canvas shows it: every canvas pixel asks the file pixel under its centre. */
function expected(of: Annotation, { from, to, scaleX, scaleY, offsetX, offsetY }: Mapping): Uint8Array {
	const mask = annotationMask(of, from.width, from.height);
	return Uint8Array.from({ length: to.width * to.height }, (_, i) => {
		const x = Math.floor(((i % to.width) + 0.5 - offsetX) / scaleX);
		const y = Math.floor((Math.floor(i / to.width) + 0.5 - offsetY) / scaleY);
		return x >= 0 && y >= 0 && x < from.width && y < from.height ? mask[y * from.width + x] : 0;
	});
}

function overlap(a: Uint8Array, b: Uint8Array): number {
	const both = a.filter((v, i) => v && b[i]).length;
	return both / a.filter((v, i) => v || b[i]).length;
}

it("leaves coordinates alone on a canvas that is the file", () => {
	const rle = { size: [60, 90] as const, counts: [600, 40, 4760] };
	const objects = objectsOnCanvas(
		[annotation({ segmentation: [BAY] }), annotation({ segmentation: rle, crowd: true }), annotation({})],
		identity,
	);
	expect(objects.map(({ box }) => box)).toEqual(Array(3).fill([5.5, 10, 34.5, 40]));
	expect(objects.map(({ segmentation }) => segmentation)).toEqual([[BAY], rle, undefined]);
	expect(objects.map(({ crowd }) => crowd)).toEqual([false, true, false]);
	expect(objects[1].area).toBe(40);
	expect(objects[2].area).toBe(34.5 * 40);
});

describe.each(Object.keys(mappings))("%s", (name) => {
	const mapping = mappings[name];
	it("takes polygons along", () => {
		const of = annotation({ segmentation: [BAY] });
		const [object] = objectsOnCanvas([of], mapping);
		const mask = maskOf(object, mapping);
		expect(overlap(mask, expected(of, mapping))).toBeGreaterThan(0.9);
		expect(object.area).toBe(mask.filter((v) => v).length);
		const coordinates = (object.segmentation as number[][]).flat();
		expect(Math.min(...coordinates)).toBeGreaterThanOrEqual(0);
		expect(Math.max(...coordinates.filter((_, i) => i % 2 === 0))).toBeLessThanOrEqual(mapping.to.width);
	});
	it("takes run lengths along, pixel by pixel", () => {
		const mask = annotationMask(annotation({ segmentation: [BAY] }), 90, 60);
		const counts = maskToCounts(mask, 60, 90);
		for (const form of [counts, packCounts(counts)]) {
			const of = annotation({ segmentation: { size: [60, 90], counts: form }, crowd: true });
			const [object] = objectsOnCanvas([of], mapping);
			expect([...maskOf(object, mapping)]).toEqual([...expected(of, mapping)]);
		}
	});
	it("moves boxes with the picture and cuts them at the border", () => {
		const [{ box }] = objectsOnCanvas([annotation({})], mapping);
		const left = Math.max(0, 5.5 * mapping.scaleX + mapping.offsetX);
		expect(box[0]).toBeCloseTo(left, 2);
		expect(box[1]).toBeCloseTo(10 * mapping.scaleY + mapping.offsetY, 2);
		expect(box[0] + box[2]).toBeCloseTo(40 * mapping.scaleX + mapping.offsetX, 2);
	});
});

it("leaves out what the crop leaves out", () => {
	const outside = annotation({ box: [0, 0, 10, 60], segmentation: [[0, 0, 10, 0, 10, 60, 0, 60]] });
	expect(objectsOnCanvas([outside, annotation({})], mappings.crop)).toHaveLength(1);
});

it("refuses outlines that do not fit the file", () => {
	const wrong = annotation({ segmentation: { size: [10, 10], counts: [100] } });
	expect(() => objectsOnCanvas([wrong], identity)).toThrow(/run lengths of another size/);
	expect(() => objectsOnCanvas([annotation({ segmentation: "x" })], identity)).toThrow(/something else/);
});
