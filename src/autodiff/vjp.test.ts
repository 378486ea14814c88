import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { floatTensor, freeze, type Graph, type GraphBuilder, graphBuilder, infer, int64Tensor } from "../onnx/index.ts";
import { openSession, shapeRuntime } from "../runtime/index.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { cotangentName, gradientName, vjp } from "./index.ts";
import { FAMILIES, REFUSED, RULES, STOPS } from "./rules/index.ts";

type Build = (b: GraphBuilder) => string;

/** A graph with the float input x and the output y. */
function graphOf(dims: number[], build: Build, opset = 20): Graph {
	const b = graphBuilder({ opset });
	b.input("x", "float", dims);
	b.output(build(b), "float", ["*"]);
	return b.build();
}

/** Gradient of the sum of the output at x. */
async function gradientAt(x: Tensor, build: Build): Promise<number[]> {
	const graph = await infer(graphOf([...x.dims], build), shapeRuntime);
	const of = graph.outputs[0].name;
	const session = await openSession(vjp(graph, { of: [of], wrt: ["x"], cotangents: { [of]: "ones" } }));
	const results = await session.run({ x });
	await session.close();
	return [...(results[gradientName("x")].data as Float32Array)];
}

const vector = (...values: number[]) => tensor(Float32Array.from(values), [values.length]);

const refusal = async (graph: Graph, of = graph.outputs[0].name): Promise<string> => {
	const error = await infer(graph, shapeRuntime)
		.then((g) => vjp(g, { of: [of], wrt: ["x"] }))
		.catch((e: unknown) => e);
	expect(error).toBeInstanceOf(KintsugiError);
	expect(error).toMatchObject({ code: "autodiff" });
	return (error as Error).message;
};

describe("the walk", () => {
	it("adds up what reaches a value by several ways", async () => {
		// x x + 3 x + x
		expect(await gradientAt(vector(2, -1), (b) => b.op("Sum", [b.op("Mul", ["x", "x"]), b.op("Mul", ["x", b.scalar(3)]), "x"]))).toEqual([
			8, 2,
		]);
	});

	it("accumulates a fan-out in one Sum", async () => {
		const graph = await infer(
			graphOf([2], (b) =>
				b.op(
					"Sum",
					["Sin", "Cos", "Exp"].map((op) => b.op(op, ["x"])),
				),
			),
			shapeRuntime,
		);
		const added = vjp(graph, { of: [graph.outputs[0].name], wrt: ["x"] }).nodes.filter((n) => n.op === "Sum" && n.name.startsWith("grad/"));
		expect(added.map((n) => n.inputs.length)).toEqual([3]);
	});

	it("differentiates values that are called like nodes of the gradient", async () => {
		for (const name of ["Mul", "constructor", "__proto__", "const"]) {
			const b = graphBuilder();
			b.input(name, "float", [2]);
			b.output(b.op("Mul", [b.op("Mul", [name, name]), b.scalar(3)], {}, { name: "y" }), "float", [2]);
			const frozen = await freeze(b.build(), {}, shapeRuntime);
			const session = await openSession(vjp(frozen, { of: ["y"], wrt: [name], cotangents: { y: "ones" } }));
			const results = await session.run(Object.fromEntries([[name, vector(1, -2)]]));
			await session.close();
			expect([...(results[gradientName(name)].data as Float32Array)]).toEqual([6, -12]);
		}
	});

	it("refuses a graph that has a value of the gradient's name", async () => {
		const graph = graphOf([2], (b) => b.op("Exp", ["x"], {}, { name: "grad/x" }));
		expect(await refusal(graph)).toContain("no value 'grad/x' yet");
	});

	it.each([3, 4, 5, 12, 13])("ends at a cast to the integer type %i", async (to) => {
		const graph = graphOf([2], (b) => b.op("Cast", [b.op("Cast", ["x"], { to })], { to: 1 }));
		expect(await refusal(graph)).toContain("end at Cast");
	});

	it.each<[string, number[], Build]>([
		["Resize", [1, 1, 2 ** 14, 1], (b) => b.op("Resize", ["x", "", "", b.ints([1, 1, 20_000, 1])], { mode: "linear" })],
		["Pad", [2 ** 25], (b) => b.op("Pad", ["x", b.ints([1, 1])], { mode: "edge" })],
		["AveragePool", [1, 1, 2 ** 25], (b) => b.op("AveragePool", ["x"], { kernel_shape: [2] })],
	])("makes no tables as large as crafted dims: %s", async (_, dims, build) => {
		expect(await refusal(graphOf(dims, build))).toMatch(/an axis of|a window of/);
	});

	it("refuses shapes that do not fit an attribute, which ONNX Runtime notices only when it runs", async () => {
		const w = floatTensor(new Float32Array(4), [2, 2, 1]);
		const graph = await infer(
			graphOf([1, 6, 5], (b) => b.op("Conv", ["x", b.constant(w)], { group: 3 })),
			shapeRuntime,
		);
		expect(() => vjp(graph, { of: [graph.outputs[0].name], wrt: ["x"] })).toThrow(KintsugiError);
	});

	it("leaves out what lies beside the path", async () => {
		const graph = await infer(
			graphOf([2], (b) => {
				// An operator without a rule that no gradient has to pass.
				const side = b.op("Det", [b.constant(floatTensor([1, 2, 3, 4], [2, 2]))]);
				b.output(b.op("NonZero", ["x"]), "int64", ["*"]);
				return b.op("Mul", ["x", side]);
			}),
			shapeRuntime,
		);
		expect(() => vjp(graph, { of: [graph.outputs[1].name], wrt: ["x"] })).not.toThrow();
	});

	it("differentiates several values at once, inner values included", async () => {
		const graph = await infer(
			graphOf([2], (b) => b.op("Mul", [b.op("Exp", ["x"], {}, { name: "inner" }), b.scalar(2)], {}, { name: "y" })),
			shapeRuntime,
		);
		const session = await openSession(vjp(graph, { of: ["y"], wrt: ["x", "inner"] }));
		const results = await session.run({ x: vector(0, 1), [cotangentName("y")]: vector(1, 10) });
		expect([...results[gradientName("inner")].data]).toEqual([2, 20]);
		expect([...results[gradientName("x")].data]).toEqual([2, Math.fround(20 * Math.fround(Math.E))]);
		await session.close();
	});

	it("names what it adds grad/..., uniquely, and keeps the original", async () => {
		const graph = await infer(
			graphOf([2, 2], (b) => b.op("MatMul", [b.op("Relu", ["x"], {}, { name: "grad/MatMul" }), "x"])),
			shapeRuntime,
		);
		const result = vjp(graph, { of: [graph.outputs[0].name], wrt: ["x"] });
		const names = result.nodes.map((n) => n.name);
		expect(new Set(names).size).toBe(names.length);
		expect(result.nodes.slice(0, 2)).toEqual(graph.nodes);
		expect(names.slice(2).every((name) => name.startsWith("grad/"))).toBe(true);
		await (await openSession(result)).close();
	});

	it("gives equal bytes for equal graphs", async () => {
		const make = async () =>
			vjp(
				await infer(
					graphOf([3], (b) => b.op("Softmax", ["x"])),
					shapeRuntime,
				),
				{ of: ["Softmax"], wrt: ["x"] },
			);
		expect(await make()).toEqual(await make());
	});
});

describe("conventions", () => {
	it("ties share the cotangent evenly: Max, Min, ReduceMax, GlobalMaxPool", async () => {
		expect(await gradientAt(vector(1, 2), (b) => b.op("Max", ["x", b.constant(floatTensor([1, 0], [2]))]))).toEqual([0.5, 1]);
		expect(await gradientAt(vector(3, 3, 1), (b) => b.op("ReduceMax", ["x"]))).toEqual([0.5, 0.5, 0]);
		expect(await gradientAt(vector(0, 2, 0, 0), (b) => b.op("ReduceMin", ["x"]))).toEqual([1 / 3, 0, 1 / 3, 1 / 3].map(Math.fround));
	});

	it("MaxPool gives it to the first", async () => {
		const x = tensor(Float32Array.of(5, 5, 1, 5), [1, 1, 2, 2]);
		expect(await gradientAt(x, (b) => b.op("MaxPool", ["x"], { kernel_shape: [2, 2] }))).toEqual([1, 0, 0, 0]);
	});

	it("Clip lets its bounds pass, Relu stops at zero", async () => {
		expect(await gradientAt(vector(-1, 0, 0.5, 1, 2), (b) => b.op("Clip", ["x", b.scalar(0), b.scalar(1)]))).toEqual([0, 1, 1, 1, 0]);
		expect(await gradientAt(vector(-1, 0, 1), (b) => b.op("Relu", ["x"]))).toEqual([0, 0, 1]);
	});

	it("no NaN where a slope is infinite: Sqrt and ReduceL2 at zero, Where before a division by zero", async () => {
		expect(await gradientAt(vector(0, 4), (b) => b.op("Sqrt", ["x"]))).toEqual([0, 0.25]);
		expect(await gradientAt(vector(0, 0), (b) => b.op("ReduceL2", ["x"]))).toEqual([0, 0]);
		expect(await gradientAt(vector(1, 0, -1), (b) => b.op("Asin", ["x"]))).toEqual([0, 1, 0]);
	});

	it("no gradient passes Round, Floor, Sign or comparisons", async () => {
		expect(await gradientAt(vector(0.4, 2.6), (b) => b.op("Add", ["x", b.op("Round", ["x"])]))).toEqual([1, 1]);
		const chosen: Build = (b) => b.op("Where", [b.op("Greater", ["x", b.scalar(1)]), "x", b.scalar(7)]);
		expect(await gradientAt(vector(0.4, 2.6), chosen)).toEqual([0, 1]);
	});
});

describe("what cannot be differentiated", () => {
	it("an operator without a rule is named with the path it lies on", async () => {
		const graph = graphOf([2, 2], (b) => b.op("Exp", [b.op("Det", [b.op("Sin", ["x"])], {}, { name: "sampler" })], {}, { name: "logits" }));
		const message = await refusal(graph);
		expect(message).toContain("Det node 'sampler'");
		expect(message).toContain("'x' -> Sin -> Det -> Exp -> 'logits'");
	});

	it("control flow is refused, with advice", async () => {
		const branch = graphBuilder();
		branch.output(branch.op("Identity", ["x"]), "float", [2]);
		const graph = graphOf([2], (b) => {
			const condition = b.constant({ type: "bool", dims: [], bytes: { data: Uint8Array.of(1) } });
			const y = b.op("If", [condition], { then_branch: { graph: branch.build() }, else_branch: { graph: branch.build() } });
			return b.op("Add", [y, "x"]);
		});
		expect(await refusal(graph)).toContain("control flow");
	});

	it("quantised graphs are refused, with advice", async () => {
		const graph = graphOf([2], (b) => {
			const zero = b.constant({ type: "uint8", dims: [], bytes: { data: Uint8Array.of(0) } });
			const q = b.op("QuantizeLinear", ["x", b.scalar(0.1), zero]);
			return b.op("DequantizeLinear", [q, b.scalar(0.1), zero]);
		});
		expect(await refusal(graph)).toMatch(/quantised|QuantizeLinear/);
	});

	it("values that do not depend on each other, are no floats, or do not exist", async () => {
		expect(await refusal(graphOf([2], (b) => b.op("Round", ["x"])))).toContain("paths from it end at Round");
		expect(await refusal(graphOf([2], (b) => b.op("ArgMax", ["x"])))).toContain("int64");
		expect(
			await refusal(
				graphOf([2], (b) => b.op("Exp", ["x"])),
				"nothing",
			),
		).toContain("'nothing'");
		expect(await refusal(graphOf([2], (b) => b.op("Exp", ["x"]), 17))).toContain("freeze");
	});

	it("a form without a rule is named", async () => {
		const graph = graphOf([3], (b) =>
			b.op("ScatterElements", ["x", b.constant(int64Tensor([0])), b.constant(floatTensor([2], [1]))], { reduction: "mul" }),
		);
		expect(await refusal(graph)).toContain('reduction "mul"');
	});
});

describe("the tables", () => {
	it("are the ones that docs/autodiff.md lists", () => {
		const text = readFileSync(fileURLToPath(new URL("../../docs/autodiff.md", import.meta.url)), "utf8");
		for (const [family, rules] of Object.entries(FAMILIES)) expect(text).toContain(`| ${family} | ${Object.keys(rules).join(" ")} |`);
	});

	it("have every operator once, and no operator both with a rule and without", () => {
		const all = Object.values(FAMILIES).flatMap((family) => Object.keys(family));
		expect(new Set(all).size).toBe(all.length);
		for (const op of all) expect(STOPS.has(op) || REFUSED.has(op), op).toBe(false);
		expect(RULES.size).toBe(all.length);
	});
});
