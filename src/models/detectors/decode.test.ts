import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tensor } from "../../tensor/tensor.ts";
import type { Detection } from "../detector.ts";
import { clipBox, iou, nonMaximumSuppression, unite } from "./boxes.ts";
import { decodeDetr } from "./detr.ts";
import { decodeYolox } from "./yolox.ts";

const box = fc.tuple(...Array.from({ length: 4 }, (_, i) => fc.integer({ min: i < 2 ? -20 : 0, max: 40 }))) as fc.Arbitrary<
	[number, number, number, number]
>;
const at = (label: string, score: number, ...b: [number, number, number, number]): Detection => ({ label, score, box: b });

describe("boxes", () => {
	it("overlap as fractions", () => {
		expect(iou([0, 0, 2, 2], [1, 0, 2, 2])).toBeCloseTo(1 / 3);
		expect(iou([0, 0, 2, 2], [2, 0, 2, 2])).toBe(0);
		expect(iou([0, 0, 0, 0], [0, 0, 0, 0])).toBe(0);
	});

	it("have a symmetric overlap in [0, 1], lie in their union, and stay on the canvas when clipped", () => {
		fc.assert(
			fc.property(box, box, (a, b) => {
				expect(iou(a, b)).toBe(iou(b, a));
				expect(iou(a, b)).toBeLessThanOrEqual(1);
				const around = unite(a, b);
				expect(clipBox([a[0] - around[0], a[1] - around[1], a[2], a[3]], { width: around[2], height: around[3] })).toEqual([
					a[0] - around[0],
					a[1] - around[1],
					a[2],
					a[3],
				]);
				const [x, y, w, h] = clipBox(a, { width: 20, height: 10 });
				expect(Math.min(x, y, w, h)).toBeGreaterThanOrEqual(0);
				expect(x + w).toBeLessThanOrEqual(20);
				expect(y + h).toBeLessThanOrEqual(10);
			}),
		);
	});

	it("suppress weaker boxes of the same label only", () => {
		const kept = nonMaximumSuppression(
			[at("cat", 0.5, 1, 0, 10, 10), at("cat", 0.9, 0, 0, 10, 10), at("dog", 0.4, 0, 0, 10, 10), at("cat", 0.3, 30, 0, 5, 5)],
			0.5,
		);
		expect(kept.map((d) => [d.label, d.score])).toEqual([
			["cat", 0.9],
			["dog", 0.4],
			["cat", 0.3],
		]);
	});
});

describe("decodeDetr", () => {
	it("takes the softmax with the no-object class but never returns it", () => {
		const logits = tensor(Float32Array.of(2, 0, 0, 0, 0, 5, 0, 3, 0), [1, 3, 3]);
		const boxes = tensor(Float32Array.of(0.5, 0.5, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 1, 1), [1, 3, 4]);
		const decode = (threshold: number) =>
			decodeDetr({ logits, boxes }, { labels: ["cat", "dog"], threshold, input: { height: 10, width: 10 } })[0];
		const found = decode(0.5);
		expect(found.map((d) => d.label)).toEqual(["dog", "cat"]);
		expect(found[1].score).toBeCloseTo(Math.E ** 2 / (Math.E ** 2 + 2), 6);
		[4, 3, 2, 4].forEach((v, i) => {
			expect(found[1].box[i]).toBeCloseTo(v, 5);
		});
		expect(decode(0)).toHaveLength(3);
		expect(decode(0)[2].score).toBeLessThan(0.01);
	});
});

describe("decodeYolox", () => {
	const labels = ["cat", "dog"];
	const options = { labels, input: { height: 32, width: 32 }, strides: [16, 32], threshold: 0.3 };
	it("places each row on its cell and suppresses overlaps", () => {
		const rows = Array.from({ length: 5 }, () => [0, 0, 0, 0, 0, 0, 0]);
		rows[2] = [0.5, 0.25, Math.log(2), 0, 0.9, 0.8, 0.1];
		rows[3] = [-0.5, 0.25, Math.log(2), 0, 0.5, 0.8, 0.1];
		rows[4] = [0.5, 0.5, 0, Math.log(0.5), 0.9, 0.2, 1];
		const [found] = decodeYolox(tensor(Float32Array.from(rows.flat()), [1, 5, 7]), options);
		expect(found.map((d) => d.label)).toEqual(["dog", "cat"]);
		expect(found[0].box.map(Math.round)).toEqual([0, 8, 32, 16]);
		expect(found[1].score).toBeCloseTo(0.72, 5);
		expect(found[1].box.map(Math.round)).toEqual([-8, 12, 32, 16]);
	});
	it("refuses an output of another size", () => {
		expect(() => decodeYolox(tensor(new Float32Array(28), [1, 4, 7]), options)).toThrow(/expected \[N, 5, 7\].*found \[1, 4, 7\]/);
	});
});
