import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { gaussian, smooth } from "./translation.ts";

const size = { height: 9, width: 7 };

describe("translation invariance", () => {
	it("convolves every plane with the outer product of the kernel, zero outside", () => {
		const kernel = gaussian({ kernel: 5, kernelReach: 2 });
		const gradient = random("g").normals(3 * 63);
		const smoothed = smooth(gradient, size, kernel);
		const at = (c: number, y: number, x: number) => (y < 0 || x < 0 || y >= 9 || x >= 7 ? 0 : gradient[c * 63 + y * 7 + x]);
		smoothed.forEach((v, i) => {
			const [c, y, x] = [Math.floor(i / 63), Math.floor(i / 7) % 9, i % 7];
			let sum = 0;
			for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) sum += kernel[dy + 2] * kernel[dx + 2] * at(c, y + dy, x + dx);
			expect(v).toBeCloseTo(sum, 5);
		});
	});

	it("has a kernel of sum 1, symmetric, of one pixel if that is asked for", () => {
		const kernel = gaussian({ kernel: 15, kernelReach: 3 });
		expect(kernel.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
		expect([...kernel].reverse()).toEqual([...kernel]);
		expect(kernel[7] / kernel[0]).toBeCloseTo(Math.exp(4.5), 6);
		expect([...smooth(Float32Array.of(1, 2, 3, 4), { height: 2, width: 2 }, gaussian({ kernel: 1, kernelReach: 3 }))]).toEqual([
			1, 2, 3, 4,
		]);
	});
});
