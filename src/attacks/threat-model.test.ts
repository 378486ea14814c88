import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { distance, levelsWithin, NORMS, project, roundWithin } from "./threat-model.ts";

const size = 12;
const level = fc.integer({ min: 0, max: 255 });
const cleanImage = fc.array(level, { minLength: size, maxLength: size }).map((v) => Float32Array.from(v, (x) => x / 255));
const anywhere = fc
	.array(fc.float({ min: -2, max: 3, noNaN: true }), { minLength: size, maxLength: size })
	.map((v) => Float32Array.from(v));
const threat = fc.record({
	norm: fc.constantFrom(...NORMS),
	epsilon: fc.oneof(fc.constantFrom(1 / 255, 8 / 255, 0.1), fc.double({ min: 0, max: 1.5, noNaN: true })),
});

describe("threat model", () => {
	it("projects and rounds into the budget and into [0, 1], whatever the candidate", () => {
		fc.assert(
			fc.property(cleanImage, anywhere, threat, (clean, candidate, model) => {
				project(candidate, clean, model);
				const float = model.norm === "linf" ? Math.max(...candidate.map((v, i) => Math.abs(v - clean[i]))) : 0;
				expect(float).toBeLessThanOrEqual(model.epsilon + 1e-7);
				const rounded = roundWithin(candidate, clean, model);
				const { linf, l2 } = distance(rounded, clean);
				expect(model.norm === "linf" ? linf : l2).toBeLessThanOrEqual(model.epsilon + 1e-6);
				for (const v of rounded) {
					expect(v).toBeGreaterThanOrEqual(0);
					expect(v).toBeLessThanOrEqual(1);
					expect(v).toBe(Math.fround(Math.round(v * 255) / 255));
				}
			}),
			{ numRuns: 400 },
		);
	});

	it("rounds to the nearest level where that stays inside", () => {
		const clean = Float32Array.of(100 / 255, 100 / 255, 100 / 255);
		const candidate = Float32Array.of(107.6 / 255, 92.4 / 255, 103.4 / 255);
		const levels = (epsilon: number) => [...roundWithin(candidate, clean, { norm: "linf", epsilon })].map((v) => Math.round(v * 255));
		expect(levels(8 / 255)).toEqual([108, 92, 103]);
		expect(levels(7.7 / 255)).toEqual([107, 93, 103]);
	});

	it("shortens an L2 perturbation only where rounding has lengthened it", () => {
		const clean = new Float32Array(4).fill(100 / 255);
		const candidate = clean.map((v, i) => v + [0.7, 0.9, 2.6, 0.2][i] / 255);
		const radius = Math.hypot(0.7, 0.9, 2.6, 0.2) / 255;
		const rounded = roundWithin(candidate, clean, { norm: "l2", epsilon: radius });
		expect([...rounded].map((v) => Math.round(v * 255) - 100)).toEqual([1, 1, 2, 0]);
	});

	it("counts whole levels of a radius", () => {
		expect([8 / 255, 0.1, 0.05, 1 / 255, 0.5 / 255, 0].map(levelsWithin)).toEqual([8, 25, 12, 1, 0, 0]);
	});
});
