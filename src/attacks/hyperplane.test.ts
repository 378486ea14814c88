import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { towardsPlane } from "./hyperplane.ts";
import { lengthOf } from "./surface.ts";
import { NORMS } from "./threat-model.ts";

const SIZE = 6;
const pixels = fc
	.array(fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })), { minLength: SIZE, maxLength: SIZE })
	.map((v) => Float32Array.from(v));
const weights = fc
	.array(fc.oneof(fc.constant(0), fc.double({ min: 0.05, max: 2, noNaN: true }), fc.double({ min: -2, max: -0.05, noNaN: true })), {
		minLength: SIZE,
		maxLength: SIZE,
	})
	.map((v) => Float32Array.from(v));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const moved = (x: Float32Array, d: Float32Array) => x.map((v, i) => v + d[i]);

/** Sides of the plane that the box reaches. */
const reach = (w: Float32Array) => [w.filter((v) => v < 0).reduce((a, b) => a + b, 0), w.filter((v) => v > 0).reduce((a, b) => a + b, 0)];

describe("projection on a hyperplane inside the box", () => {
	it.each(NORMS)("%s: ends on the plane, inside the box, and no other point of both is nearer", (norm) => {
		fc.assert(
			fc.property(pixels, pixels, weights, (point, other, w) => {
				const offset = dot(w, other);
				const d = towardsPlane(point, w, offset, norm);
				const end = moved(point, d);
				for (const v of end) {
					expect(v).toBeGreaterThanOrEqual(-1e-6);
					expect(v).toBeLessThanOrEqual(1 + 1e-6);
				}
				expect(Math.abs(dot(w, end) - offset)).toBeLessThan(1e-5);
				// `other` lies in both; so do all points between it and the answer, of which none may be nearer.
				for (const share of [1, 0.3, 0.01]) {
					const between = other.map((v, i) => share * v + (1 - share) * end[i] - point[i]);
					expect(lengthOf(d, norm)).toBeLessThanOrEqual(lengthOf(between, norm) + 1e-6);
				}
			}),
			{ numRuns: 500 },
		);
	});

	it.each(NORMS)("%s: goes into the nearest corner if the plane lies outside the box", (norm) => {
		fc.assert(
			fc.property(pixels, weights, fc.boolean(), (point, w, above) => {
				const [low, high] = reach(w);
				const end = moved(point, towardsPlane(point, w, above ? high + 1 : low - 1, norm));
				expect(dot(w, end)).toBeCloseTo(above ? high : low, 4);
			}),
		);
	});

	it("does not move where the gradient is zero", () => {
		const point = Float32Array.of(0.2, 0.8, 0.5);
		expect(towardsPlane(point, new Float32Array(3), 1, "linf").map(Math.abs)).toEqual(new Float32Array(3));
	});
});
