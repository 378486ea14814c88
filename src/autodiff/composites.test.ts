import { describe, expect, it } from "vitest";
import { type Graph, type GraphBuilder, graphBuilder, infer } from "../onnx/index.ts";
import { openSession, shapeRuntime } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { checkVjp, cotangentName, gradientName, vjp } from "./index.ts";

interface Case {
	name: string;
	inputs: Record<string, number[]>;
	/** Returns the output and a value inside the composition. */
	build: (b: GraphBuilder) => { y: string; inner: string };
	/** An operator that the joint derivative does without. */
	without: string;
}

const swish = (a: number, order: "gate last" | "gate first"): Case["build"] => {
	return (b) => {
		const s = b.op("Sigmoid", [a === 1 ? "x" : b.op("Mul", ["x", b.scalar(a)])]);
		return { y: b.op("Mul", order === "gate last" ? ["x", s] : [s, "x"]), inner: s };
	};
};

const gelu =
	(write: "Div" | "Mul", half: "outside" | "on x"): Case["build"] =>
	(b) => {
		const u = write === "Div" ? b.op("Div", ["x", b.scalar(Math.SQRT2)]) : b.op("Mul", [b.scalar(Math.SQRT1_2), "x"]);
		const erf = b.op("Erf", [u]);
		const shifted = b.op("Add", [erf, b.scalar(1)]);
		const y =
			half === "outside"
				? b.op("Mul", [b.op("Mul", ["x", shifted]), b.scalar(0.5)])
				: b.op("Mul", [b.op("Mul", ["x", b.scalar(0.5)]), shifted]);
		return { y, inner: erf };
	};

const attention: Case["build"] = (b) => {
	const p = b.op("Softmax", [b.op("MatMul", ["q", "k"])], { axis: -1 });
	return { y: b.op("MatMul", [p, "v"]), inner: p };
};

const heads = { q: [2, 3, 5, 4], k: [2, 3, 4, 7], v: [2, 3, 7, 6] };

const CASES: Case[] = [
	{ name: "x sigmoid(x)", inputs: { x: [3, 7] }, build: swish(1, "gate last"), without: "Sub" },
	{ name: "sigmoid(1.702 x) x", inputs: { x: [3, 7] }, build: swish(1.702, "gate first"), without: "Sub" },
	{ name: "Gelu, x / sqrt 2, half outside", inputs: { x: [3, 7] }, build: gelu("Div", "outside"), without: "Neg" },
	{ name: "Gelu, x * sqrt 0.5, half on x", inputs: { x: [3, 7] }, build: gelu("Mul", "on x"), without: "Neg" },
	{ name: "attention", inputs: heads, build: attention, without: "Sub" },
];

function graphOf({ inputs, build }: Case): { graph: Graph; inner: string } {
	const b = graphBuilder({ opset: 20 });
	for (const [name, dims] of Object.entries(inputs)) b.input(name, "float", dims);
	const { y, inner } = build(b);
	b.output(y, "float", ["*"]);
	return { graph: b.build(), inner };
}

const added = (graph: Graph) => graph.nodes.filter((node) => node.outputs[0]?.startsWith("grad/"));

describe("composites", () => {
	it.each(CASES)("$name: as the chain rule over its operators, and as differences say", async (composition) => {
		const { graph, inner } = graphOf(composition);
		const known = await infer(graph, shapeRuntime);
		const of = graph.outputs[0].name;
		const wrt = Object.keys(composition.inputs);
		const joint = vjp(known, { of: [of], wrt });
		// A value that is asked for by name cannot vanish into a composite.
		const chained = vjp(known, { of: [of], wrt: [...wrt, inner] });
		expect(added(joint).some((node) => node.op === composition.without)).toBe(false);

		const draw = random("composites", composition.name);
		const feeds: Record<string, Tensor> = Object.fromEntries(
			joint.inputs.map((v) => [v.name, tensor(draw.normals(sizeOf(v.dims.map(Number))), v.dims.map(Number))]),
		);
		expect(Object.keys(feeds)).toContain(cotangentName(of));
		const [a, b] = [await openSession(joint), await openSession(chained)];
		const [first, second] = [await a.run(feeds), await b.run(feeds)];
		for (const name of wrt) {
			const [got, wanted] = [first[gradientName(name)].data as Float32Array, second[gradientName(name)].data as Float32Array];
			const largest = Math.max(...wanted.map(Math.abs));
			expect(Math.max(...got.map((value, i) => Math.abs(value - wanted[i]))) / largest).toBeLessThan(1e-5);
			const { error } = await checkVjp(joint, (f) => a.run(f), { of, wrt: name, feeds, step: 1e-2 });
			expect(error).toBeLessThan(2e-3);
		}
		await a.close();
		await b.close();
	});

	it("stays out of a value that something else reads", async () => {
		const b = graphBuilder({ opset: 20 });
		b.input("x", "float", [4]);
		const s = b.op("Sigmoid", ["x"]);
		b.output(b.op("Add", [b.op("Mul", ["x", s]), s]), "float", ["*"]);
		const graph = b.build();
		const of = graph.outputs[0].name;
		const session = await openSession(vjp(await infer(graph, shapeRuntime), { of: [of], wrt: ["x"], cotangents: { [of]: "ones" } }));
		const results = await session.run({ x: tensor(Float32Array.of(0, 1, -2, 3), [4]) });
		await session.close();
		// s + (x + 1) s (1 - s)
		const wanted = [0, 1, -2, 3].map((x) => {
			const gate = 1 / (1 + Math.exp(-x));
			return gate + (x + 1) * gate * (1 - gate);
		});
		[...(results[gradientName("x")].data as Float32Array)].forEach((value, i) => {
			expect(value).toBeCloseTo(wanted[i], 5);
		});
	});
});
