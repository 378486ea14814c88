import { describe, expect, it } from "vitest";
import { type Graph, graphBuilder } from "../onnx/index.ts";
import { openSession } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { LOGITS, type ScoresInput, scoresSchema, withLogits } from "./scores.ts";

const passThrough = (dims: number[]): Graph => {
	const g = graphBuilder({ name: "net" });
	g.output(g.op("Identity", [g.input("x", "float", dims)], {}, { name: "out" }), "float", dims);
	return g.build();
};

async function logits(x: Tensor, scores: ScoresInput): Promise<Tensor> {
	const session = await openSession(withLogits(passThrough([...x.dims]), scoresSchema.parse(scores)));
	const outputs = await session.run({ x });
	await session.close();
	return outputs[LOGITS] as Tensor;
}

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
const expectClose = (actual: Tensor, expected: number[], dims: number[]) => {
	expect(actual.dims).toEqual(dims);
	expected.forEach((v, i) => {
		expect(actual.data[i]).toBeCloseTo(v, 4);
	});
};

describe("scores adapters", () => {
	const p = tensor(Float32Array.of(0.7, 0.2, 0.1, 0.05, 0.9, 0.05), [2, 3]);
	it("pass logits on", async () => expectClose(await logits(p, { kind: "logits", output: "out" }), [...p.data], [2, 3]));

	it("turn probabilities into the logits of their activation", async () => {
		expectClose(await logits(p, { kind: "probabilities", output: "out" }), [...p.data].map(Math.log), [2, 3]);
		const odds = await logits(p, { kind: "probabilities", output: "out", from: "sigmoid" });
		expect([...odds.data].map(sigmoid).every((v, i) => Math.abs(v - p.data[i]) < 1e-6)).toBe(true);
	});

	it("make scores of a detector's rows first, where it gives logits", async () => {
		const x = tensor(random(2, "rows").normals(2 * 5 * 4), [2, 5, 4]);
		const rows = (n: number) => Array.from({ length: 5 }, (_, r) => [...x.data.slice((n * 5 + r) * 4, (n * 5 + r + 1) * 4)]);
		const softmax = (row: number[]) => row.map((v) => Math.exp(v) / row.reduce((sum, w) => sum + Math.exp(w), 0));
		for (const [activation, of] of [
			["softmax", softmax],
			["sigmoid", (row: number[]) => row.map(sigmoid)],
		] as const) {
			const found = await logits(x, { kind: "max-over-rows", output: "out", activation, classes: [0, 3] });
			const expected = [0, 1].flatMap((n) => [0, 1, 2].map((k) => Math.max(...rows(n).map((row) => of(row)[k]))));
			expectClose(
				found,
				expected.map((p) => Math.log(p / (1 - p))),
				[2, 3],
			);
		}
	});

	it("take the best row of a detector", async () => {
		const x = tensor(random(1, "rows").uniforms(2 * 6 * 8), [2, 6, 8]);
		const at = (n: number, r: number, c: number) => x.data[(n * 6 + r) * 8 + c];
		const best = (objectness: boolean) =>
			[0, 1].flatMap((n) =>
				[5, 6, 7].map((c) => {
					const score = Math.max(...[0, 1, 2, 3, 4, 5].map((r) => at(n, r, c) * (objectness ? at(n, r, 4) : 1)));
					return Math.log(score / (1 - score));
				}),
			);
		expectClose(await logits(x, { kind: "max-over-rows", output: "out", objectness: 4, classes: [5, 8] }), best(true), [2, 3]);
		expectClose(await logits(x, { kind: "max-over-rows", output: "out", classes: [5, 8] }), best(false), [2, 3]);
	});

	it("keep certain scores finite", async () => {
		const certain = await logits(tensor(Float32Array.of(0, 1), [1, 2]), { kind: "probabilities", output: "out", from: "sigmoid" });
		expect(certain.data[0]).toBeCloseTo(Math.log(1e-6), 1);
		expect(certain.data[1]).toBeCloseTo(-Math.log(1e-6), 0);
	});

	it("name the outputs a network has", () => {
		expect(() => withLogits(passThrough([1, 2]), { kind: "logits", output: "logits" })).toThrow(
			/an output of the model \(out\), found logits/,
		);
	});
});
