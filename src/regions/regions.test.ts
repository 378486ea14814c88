import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Detection, Detector } from "../models/detector.ts";
import { tensor } from "../tensor/tensor.ts";
import { findRegions, type RegionContext, type RegionsInput, regionsFrom, regionsSchema } from "./regions.ts";

const canvas = { width: 64, height: 48 };
const at = (label: string, score: number, ...box: [number, number, number, number]): Detection => ({ label, score, box });
const labels = ["cat", "dog", "bus"];
const regions = (detections: Detection[], options: RegionsInput = {}, context: Partial<RegionContext> = {}) =>
	regionsFrom(detections, regionsSchema.parse(options), { id: "1", seed: 1, canvas, vocabulary: labels, ...context });
const scene = [at("dog", 0.6, 40, 20, 10, 10), at("cat", 0.9, 2, 2, 20, 20), at("cat", 0.7, 4, 2, 20, 20), at("bus", 0.2, 0, 0, 9, 9)];

describe("regions", () => {
	it("keep confident detections, one for each object, best first", () => {
		expect(regions(scene).map((r) => [r.label, r.score])).toEqual([
			["cat", 0.9],
			["dog", 0.6],
		]);
		expect(regions(scene, { threshold: 0.1, overlapping: "keep" })).toHaveLength(4);
		expect(regions(scene, { maxRegions: 1 })).toHaveLength(1);
		expect(regions(scene, { minSize: 11 }).map((r) => r.label)).toEqual(["cat"]);
	});

	it("merge overlapping boxes of a label into one, also through a chain", () => {
		const chain = [at("cat", 0.9, 0, 0, 10, 10), at("cat", 0.8, 10, 0, 10, 10), at("cat", 0.7, 5, 0, 10, 10), at("dog", 0.6, 5, 0, 10, 10)];
		const merged = regions(chain, { overlapping: "merge", overlap: 0.2 });
		expect(merged.map((r) => [r.label, r.score, r.box])).toEqual([
			["cat", 0.9, [0, 0, 20, 10]],
			["dog", 0.6, [5, 0, 10, 10]],
		]);
	});

	it("grow by the padding and stay on the canvas", () => {
		expect(regions([at("cat", 1, 10, 10, 20, 10)], { padding: 0.1 })[0].box).toEqual([8, 9, 24, 12]);
		fc.assert(
			fc.property(
				fc.array(fc.integer({ min: -30, max: 90 }), { minLength: 4, maxLength: 4 }),
				fc.double({ min: 0, max: 2, noNaN: true }),
				(v, padding) => {
					const box: [number, number, number, number] = [v[0], v[1], Math.abs(v[2]), Math.abs(v[3])];
					for (const region of regions([at("cat", 1, ...box)], { padding })) {
						const [x, y, w, h] = region.box;
						expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
						expect(Math.min(w, h)).toBeGreaterThanOrEqual(2);
						expect(x + w).toBeLessThanOrEqual(canvas.width);
						expect(y + h).toBeLessThanOrEqual(canvas.height);
					}
				},
			),
		);
	});

	it("are named by the prompt's rule", () => {
		const prompts = (prompt: RegionsInput["prompt"], context: Partial<RegionContext> = {}) =>
			regions(scene, { prompt }, context).map((r) => r.prompt);
		expect(prompts("label")).toEqual(["a photo of a cat", "a photo of a dog"]);
		expect(prompts("empty")).toEqual(["", ""]);
		expect(prompts("generic")).toEqual(["a photo", "a photo"]);
		expect(prompts("oracle", { objects: [{ label: "bus", box: [0, 0, 20, 20] }] })).toEqual(["a photo of a bus", ""]);
		for (let seed = 0; seed < 20; seed++) {
			const [first, second] = prompts("shuffled", { seed });
			expect(["a photo of a dog", "a photo of a bus"]).toContain(first);
			expect(["a photo of a cat", "a photo of a bus"]).toContain(second);
		}
		expect(prompts("shuffled", { seed: 4 })).toEqual(prompts("shuffled", { seed: 4 }));
		expect(regions(scene, { template: "{label}, a {label}" })[0].prompt).toBe("cat, a cat");
	});

	it("come from a detector with the policy's threshold", async () => {
		const asked: (number | undefined)[] = [];
		const detector: Detector = {
			name: "stub",
			hash: "stub",
			labels,
			async detect(images, options) {
				asked.push(options?.threshold);
				return Array.from({ length: images.dims[0] }, () => scene);
			},
			async close() {},
		};
		const images = tensor(new Float32Array(2 * 3 * 48 * 64), [2, 3, 48, 64]);
		const found = await findRegions(detector, regionsSchema.parse({ threshold: 0.65 }), { images, ids: ["a", "b"], seed: 0 });
		expect(asked).toEqual([0.65]);
		expect(found.map((r) => r.map((one) => one.label))).toEqual([["cat"], ["cat"]]);
	});

	it("refuse unknown options", () => {
		expect(() => regionsSchema.parse({ treshold: 0.3 })).toThrow(/treshold/);
		expect(() => regionsSchema.parse({ threshold: 3 })).toThrow(/threshold/);
	});
});
