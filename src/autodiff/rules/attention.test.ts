import { describe, expect, it } from "vitest";
import { checkRule, draw, floats, type Operand, type RuleCase, x } from "../../../test/support/check-rule.ts";
import { float, graphBuilder, infer } from "../../onnx/index.ts";
import { openSession, shapeRuntime } from "../../runtime/index.ts";
import { tensor } from "../../tensor/tensor.ts";
import { gradientName, vjp } from "../index.ts";

const check = (inputs: readonly Operand[], attributes: RuleCase["attributes"] = {}, opset = 23) =>
	checkRule({ op: "Attention", opset, inputs, attributes });

describe("Attention", () => {
	it("of queries by head, with a scale", async () => {
		await check([x(2, 3, 4, 5), x(2, 3, 6, 5), x(2, 3, 6, 2)]);
		await check([x(2, 3, 4, 5), x(2, 3, 6, 5), x(2, 3, 6, 2)], { scale: float(0.3) }, 24);
	});

	it("of flat queries", () => check([x(2, 4, 6), x(2, 5, 6), x(2, 5, 9)], { q_num_heads: 3, kv_num_heads: 3 }));

	it("with fewer heads of keys than of queries", async () => {
		await check([x(2, 6, 4, 5), x(2, 2, 3, 5), x(2, 2, 3, 4)]);
		await check([x(2, 4, 8), x(2, 5, 4), x(2, 5, 6)], { q_num_heads: 4, kv_num_heads: 2 });
	});

	it("with a mask that is added, and its own gradient", async () => {
		await check([x(2, 3, 4, 5), x(2, 3, 6, 5), x(2, 3, 6, 5), x(4, 6)]);
		await check([x(2, 3, 4, 5), x(2, 3, 6, 5), x(2, 3, 6, 5), x(2, 1, 4, 6)]);
	});

	it("causal, with fewer and with more keys than queries", async () => {
		await check([x(1, 2, 4, 5), x(1, 2, 6, 5), x(1, 2, 6, 5)], { is_causal: 1 });
		await check([x(1, 2, 5, 3), x(1, 2, 3, 3), x(1, 2, 3, 3)], { is_causal: 1 });
	});

	it("with soft capping, also in front of a mask", async () => {
		await check([x(1, 2, 4, 5), x(1, 2, 6, 5), x(1, 2, 6, 5)], { softcap: float(0.8) });
		const hidden = floats([0, -Infinity, 0.5, 0, 0, -Infinity], [2, 3]);
		await check([x(1, 2, 2, 5), x(1, 2, 3, 5), x(1, 2, 3, 5), hidden], { softcap: float(0.8) });
	});

	it("with a mask of bools: keys that no query sees, and a query that sees no key, have gradient 0", async () => {
		const b = graphBuilder({ opset: 23 });
		const feeds = Object.fromEntries(["q", "k", "v"].map((name) => [name, draw("normal", [1, 1, 3, 4], name)]));
		for (const name of Object.keys(feeds)) b.input(name, "float", [1, 1, 3, 4]);
		const mask = b.constant({ type: "bool", dims: [3, 3], bytes: { data: Uint8Array.of(1, 0, 1, 0, 0, 0, 1, 0, 1) } });
		b.output(b.op("Attention", ["q", "k", "v", mask], {}, { name: "y" }), "float", []);
		const session = await openSession(vjp(await infer(b.build(), shapeRuntime), { of: ["y"], wrt: ["q", "k", "v"] }));
		const results = await session.run({
			...feeds,
			"cotangent/y": tensor(
				Float32Array.from({ length: 12 }, (_, i) => i),
				[1, 1, 3, 4],
			),
		});
		await session.close();
		const [dq, dk, dv] = ["q", "k", "v"].map((name) => [...(results[gradientName(name)].data as Float32Array)]);
		expect(dq.slice(4, 8)).toEqual([0, 0, 0, 0]);
		expect(dk.slice(4, 8)).toEqual([0, 0, 0, 0]);
		expect(dv.slice(4, 8)).toEqual([0, 0, 0, 0]);
		expect([...dq, ...dk, ...dv].every(Number.isFinite)).toBe(true);
		// What the two other queries give to the values adds up to their cotangents.
		expect(dv[0] + dv[8]).toBeCloseTo(0 + 8, 5);
	});

	it("a cache is refused", () =>
		expect(check([x(1, 2, 1, 4), x(1, 2, 1, 4), x(1, 2, 1, 4), undefined, x(1, 2, 3, 4), x(1, 2, 3, 4)])).rejects.toThrow("cache"));
});

describe("com.microsoft MultiHeadAttention", () => {
	const multiHead = (inputs: readonly Operand[], attributes: RuleCase["attributes"] = {}) =>
		checkRule({ op: "MultiHeadAttention", domain: "com.microsoft", opset: 21, inputs, attributes: { num_heads: 2, ...attributes } });
	const [left, bias] = [undefined, { dims: [1, 1, 4, 5] }];

	it("of queries over other keys, with a scale", async () => {
		await multiHead([x(2, 4, 6), x(2, 5, 6), x(2, 5, 8)]);
		await multiHead([x(2, 4, 6), x(2, 5, 6), x(2, 5, 6)], { scale: float(0.3), num_heads: 3 });
	});

	it("with numbers added to the scores", () => multiHead([x(1, 4, 6), x(1, 5, 6), x(1, 5, 6), left, left, bias]));

	it("a bias of its own is refused", () =>
		expect(multiHead([x(1, 4, 6), x(1, 5, 6), x(1, 5, 6), x(18)])).rejects.toThrow("add biases before"));
});
