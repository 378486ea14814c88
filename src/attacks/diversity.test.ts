import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { drawView, shrunk } from "./diversity.ts";

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const image = fc.record({ height: fc.integer({ min: 1, max: 12 }), width: fc.integer({ min: 2, max: 12 }) });

describe("input diversity", () => {
	it("carries gradients back by the transpose of what it does to pixels: <view(x), g> = <x, adjoint(g)>", () => {
		fc.assert(
			fc.property(image, fc.nat(), fc.double({ min: 0.1, max: 0.95, noNaN: true }), (size, seed, resizeRate) => {
				const length = 3 * size.height * size.width;
				const [x, g] = [random("x", seed).uniforms(length), random("g", seed).normals(length)];
				const view = drawView(random(seed), size, { resizeRate, diversity: 1 });
				const [there, back] = [dot(view.apply(x), g), dot(x, view.adjoint(g))];
				expect(Math.abs(there - back)).toBeLessThan(1e-4 * Math.sqrt(length));
			}),
		);
	});

	it("puts a copy of the same mean on black, wholly inside the image", () => {
		const size = { height: 10, width: 10 };
		const view = shrunk(size, { size: { height: 6, width: 6 }, top: 3, left: 4 }).apply(new Float32Array(300).fill(0.5));
		view.forEach((v, i) => {
			const [y, x] = [Math.floor(i / 10) % 10, i % 10];
			expect(v).toBeCloseTo(y >= 3 && y < 9 && x >= 4 ? 0.5 : 0, 6);
		});
	});

	it("draws every size and place of its range, and leaves the image alone as often as it is told", () => {
		const size = { height: 20, width: 20 };
		const white = new Float32Array(1200).fill(1);
		let same = 0;
		const seen = new Set<number>();
		for (let seed = 0; seed < 1000; seed++) {
			const area = drawView(random(seed), size, { resizeRate: 0.9, diversity: 0.3 })
				.apply(white)
				.reduce((a, b) => a + b, 0);
			if (area === 1200) same++;
			else seen.add(Math.round(Math.sqrt(area / 3)));
		}
		expect([...seen].sort()).toEqual([18, 19]);
		expect(same / 1000).toBeGreaterThan(0.65);
		expect(same / 1000).toBeLessThan(0.75);
	});
});
