import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { adam } from "./adam.ts";

/** The paper's algorithm 1 for one number, in float64: `gradients` in, values after each step out. */
function reference(gradients: number[], rate: number): number[] {
	let [m, v, x] = [0, 0, 0];
	return gradients.map((g, i) => {
		m = 0.9 * m + 0.1 * g;
		v = 0.999 * v + 0.001 * g * g;
		x -= (rate * (m / (1 - 0.9 ** (i + 1)))) / (Math.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8);
		return x;
	});
}

describe("adam", () => {
	it("moves every value as the definition says", () => {
		const descend = adam(4, { learningRate: 0.03 });
		const values = new Float32Array(4);
		const seen = Array.from({ length: 60 }, (_, t) => {
			const gradient = random("adam", t)
				.normals(4)
				.map((g, i) => g * 10 ** -(2 * i));
			descend(values, gradient);
			return { gradient, values: values.slice() };
		});
		for (let i = 0; i < 4; i++) {
			const expected = reference(
				seen.map(({ gradient }) => gradient[i]),
				0.03,
			);
			seen.forEach((step, t) => {
				expect(Math.abs(step.values[i] - expected[t])).toBeLessThan(1e-6);
			});
		}
	});

	it("steps by the learning rate first, whatever the gradient's size, and not at all without a gradient", () => {
		const values = Float32Array.of(0, 0, 0);
		adam(3, { learningRate: 0.5 })(values, Float32Array.of(1e-3, -1e3, 0));
		expect([...values].map((v) => Number(v.toFixed(4)))).toEqual([-0.5, 0.5, 0]);
	});

	it("finds the bottom of a bowl", () => {
		const descend = adam(2, { learningRate: 0.05 });
		const values = Float32Array.of(1, -2);
		for (let t = 0; t < 600; t++) descend(values, Float32Array.of(2 * (values[0] - 0.3), 20 * (values[1] - 0.7)));
		expect(Math.hypot(values[0] - 0.3, values[1] - 0.7)).toBeLessThan(1e-3);
	});
});
