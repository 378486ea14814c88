import { describe, expect, it } from "vitest";
import { openSession, shapeRuntime } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { compose, floatTensor, freeze, type Graph, graphBuilder, upgrade } from "./index.ts";

async function run(graph: Graph, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
	const session = await openSession(graph);
	const results = await session.run(feeds);
	await session.close();
	return results as Record<string, Tensor>;
}

/** x [batch, n, 4] -> reshaped by shape arithmetic, as exporters write it. */
function shapeArithmetic(): Graph {
	const b = graphBuilder({ name: "shapes", opset: 17 });
	b.input("x", "float", ["batch", "n", 4]);
	const batch = b.op("Gather", [b.op("Shape", ["x"]), b.ints([0])]);
	const weights = b.constant(
		floatTensor(
			Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i)),
			[4, 1024],
		),
		"weights",
	);
	const wide = b.op("MatMul", ["x", weights]);
	const y = b.op("Reshape", [wide, b.op("Concat", [batch, b.ints([-1])], { axis: 0 })], {}, { name: "y" });
	b.output(y, "float", ["batch", "?"]);
	return b.build();
}

describe("freeze", () => {
	it("fixes dims by symbol or by input, folds the shape arithmetic, keeps the result", async () => {
		const graph = shapeArithmetic();
		const x = tensor(random("x").normals(24), [2, 3, 4]);
		const expected = await run(graph, { x });
		for (const dims of [{ batch: 2, n: 3 }, { x: [2, 3, 4] }]) {
			const frozen = await freeze(graph, { dims }, shapeRuntime);
			expect(frozen.inputs).toEqual([{ name: "x", type: "float", dims: [2, 3, 4] }]);
			expect(frozen.outputs).toEqual([{ name: "y", type: "float", dims: [2, 3072] }]);
			expect(frozen.nodes.some((n) => n.op === "Shape" || n.op === "Gather" || n.op === "Concat")).toBe(false);
			expect(frozen.opset).toBe(18);
			expect(frozen.initializers.get("weights")).toBe(graph.initializers.get("weights"));
			expect(await run(frozen, { x })).toEqual(expected);
		}
	});

	it("can make an inner value the output, and drops what only others need", async () => {
		const graph = shapeArithmetic();
		const inner = graph.nodes.find((n) => n.op === "MatMul")?.outputs[0] ?? "";
		const frozen = await freeze(graph, { dims: { batch: 1, n: 2 }, outputs: [inner] }, shapeRuntime);
		expect(frozen.outputs).toEqual([{ name: inner, type: "float", dims: [1, 2, 1024] }]);
		expect(frozen.nodes.map((n) => n.op)).not.toContain("Reshape");
	});

	it("folds the shape arithmetic of operators that the runtime replaces by their function body", async () => {
		const b = graphBuilder({ opset: 21 });
		const constant = (...dims: number[]) => b.constant(floatTensor(random(...dims).normals(dims.reduce((p, q) => p * q)), dims));
		const linear = (v: string) => b.op("Add", [b.op("MatMul", [v, constant(16, 16)]), constant(16)]);
		b.input("x", "float", [2, 8, 16]);
		const normalised = b.op("GroupNormalization", [linear("x"), constant(8), constant(8)], { num_groups: 4 });
		// One linear layer is fused in the first pass, one in the second: with constants of the same name.
		b.output(b.op("Identity", [linear(normalised)], {}, { name: "y" }), "float", ["?"]);
		const graph = b.build();
		const frozen = await freeze(graph, {}, shapeRuntime);
		expect(frozen.dynamic.size).toBe(0);
		expect(frozen.nodes.map((n) => n.op)).not.toContain("Shape");
		const x = tensor(random("x").normals(256), [2, 8, 16]);
		const [before, after] = await Promise.all([run(graph, { x }), run(frozen, { x })]);
		for (const [i, v] of before.y.data.entries()) expect(after.y.data[i]).toBeCloseTo(v, 5);
	});

	it("says which dims are missing, and which do not exist", async () => {
		await expect(freeze(shapeArithmetic(), { dims: { batch: 2 } }, shapeRuntime)).rejects.toThrow("dims that are known");
		await expect(freeze(shapeArithmetic(), { dims: { width: 2 } }, shapeRuntime)).rejects.toThrow("batch, n");
		await expect(freeze(shapeArithmetic(), { dims: { x: [2, 3, 5] } }, shapeRuntime)).rejects.toThrow("fit [batch, n, 4]");
		await expect(freeze(shapeArithmetic(), { dims: { z: [2] } }, shapeRuntime)).rejects.toThrow("an existing input (x)");
	});
});

describe("upgrade", () => {
	it("rewrites old forms without changing results", async () => {
		const b = graphBuilder({ opset: 11 });
		b.input("x", "float", [2, 3, 4]);
		const names = [
			b.op("Softmax", ["x"], { axis: 1 }),
			b.op("LogSoftmax", ["x"], {}),
			b.op("Softmax", ["x"], { axis: -1 }),
			b.op("ReduceSum", ["x"], { axes: [0, 2], keepdims: 0 }),
			b.op("ReduceMean", ["x"], { axes: [-1] }),
			b.op("ReduceMax", ["x"], {}),
			b.op("Squeeze", [b.op("Unsqueeze", ["x"], { axes: [0] })], { axes: [0] }),
			...b.ops("Split", ["x"], 2, { axis: 2 }),
			...b.ops("Split", ["x"], 2, { axis: 1, split: [1, 2] }),
			b.op("Dropout", ["x"], { ratio: { float: 0.5 } }),
		];
		for (const name of names) b.output(name, "float", ["*"]);
		const old = b.build();
		const feeds = { x: tensor(random("x").normals(24), [2, 3, 4]) };
		const upgraded = upgrade(old);
		expect(upgraded.opset).toBe(18);
		expect(await run(upgraded, feeds)).toEqual(await run(old, feeds));
	});
});

describe("compose", () => {
	const scale = (factor: number, input: string, output: string): Graph => {
		const b = graphBuilder();
		b.input(input, "float", ["n"]);
		b.output(b.op("Mul", [input, b.scalar(factor)], {}, { name: output }), "float", ["n"]);
		return b.build();
	};
	const x = tensor(Float32Array.of(1, 2), [2]);

	it("joins graphs whose inner names are the same", async () => {
		const joined = compose(scale(2, "x", "y"), scale(3, "x", "y"), { connect: { y: "x" }, keep: [] }).inputs;
		expect(joined).toHaveLength(1);
		const graph = compose(scale(2, "pixels", "y"), scale(3, "x", "y"), { connect: { y: "x" }, keep: ["y"] });
		expect(graph.inputs.map((v) => v.name)).toEqual(["pixels"]);
		const results = await run(graph, { pixels: x });
		expect([...results.y.data]).toEqual([6, 12]);
		expect([...results.x.data]).toEqual([2, 4]);
	});

	it("refuses names that do not exist and opsets that differ", () => {
		expect(() => compose(scale(2, "a", "b"), scale(2, "c", "d"), { connect: { z: "c" } })).toThrow("output 'z'");
		expect(() => compose(scale(2, "a", "b"), scale(2, "c", "d"), { connect: { b: "z" } })).toThrow("input 'z'");
		expect(() => compose(scale(2, "a", "b"), { ...scale(2, "c", "d"), opset: 18 }, { connect: { b: "c" } })).toThrow("one opset");
	});
});
