import { describe, expect, it } from "vitest";
import { openSession } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { type DType, type Tensor, tensor } from "../tensor/tensor.ts";
import { float, type Graph, graphBuilder, int64Tensor, type Node, readModel, upgrade, writeModel } from "./index.ts";

async function run(graph: Graph, feeds: Record<string, Tensor<DType>>): Promise<Record<string, Tensor<DType>>> {
	const session = await openSession(graph);
	const results = await session.run(feeds);
	await session.close();
	return results;
}

describe("upgrade", () => {
	it("keeps what an operator did by default at its old opset", async () => {
		const b = graphBuilder({ opset: 11 });
		b.input("x", "float", [1, 2, 6, 6]);
		b.input("rois", "float", [2, 4]);
		const batch = b.constant(int64Tensor([0, 0]));
		const attributes = { output_height: 2, output_width: 2, sampling_ratio: 2, spatial_scale: float(0.5) };
		b.output(b.op("RoiAlign", ["x", "rois", batch], attributes, { name: "roi" }), "float", ["*"]);
		b.output(b.op("Hardmax", ["x"], {}, { name: "hard" }), "float", ["*"]);
		const feeds = { x: tensor(random("x").normals(72), [1, 2, 6, 6]), rois: tensor(Float32Array.of(0, 0, 8, 8, 1, 2, 7, 9), [2, 4]) };
		expect(await run(upgrade(b.build()), feeds)).toEqual(await run(b.build(), feeds));
	});

	it("keeps the mask of Dropout", async () => {
		const b = graphBuilder({ opset: 11 });
		b.input("x", "float", [3]);
		const [y, mask] = b.ops("Dropout", ["x"], 2, { ratio: float(0.5) });
		b.output(y, "float", [3]);
		b.output(b.op("Cast", [mask], { to: 6 }, { name: "mask" }), "int32", [3]);
		const x = tensor(Float32Array.of(1, 2, 3), [3]);
		expect((await run(upgrade(b.build()), { x })).mask.data).toEqual(Int32Array.of(1, 1, 1));
	});

	it("writes an axis as large as an int64 as it was", () => {
		const b = graphBuilder({ opset: 11 });
		b.input("x", "float", [3]);
		b.output(b.op("Softmax", ["x"], { axis: { int: 2n ** 63n - 1n } }), "float", [3]);
		expect(readModel(writeModel(upgrade(b.build()))).nodes.find((n) => n.op === "Flatten")?.attributes).toEqual({
			axis: { int: 2n ** 63n - 1n },
		});
	});

	it("reaches into subgraphs", async () => {
		const node = (op: string, inputs: string[], output: string, attributes: Node["attributes"] = {}): Node => ({
			op,
			domain: "",
			name: output,
			inputs,
			outputs: [output],
			attributes,
		});
		const branch = (name: string, nodes: Node[]): Graph => ({
			name,
			opset: 11,
			domains: {},
			inputs: [],
			outputs: [{ name: `${name}/out`, type: "float", dims: [2] }],
			initializers: new Map(),
			nodes,
		});
		const axes = { axes: { ints: [1n] } };
		const b = graphBuilder({ opset: 11 });
		b.input("x", "float", [2, 1, 3]);
		b.input("flag", "bool", []);
		const squeezed = b.op("Squeeze", ["x"], axes);
		const branches = {
			then_branch: { graph: branch("then", [node("ReduceSum", [squeezed], "then/out", { ...axes, keepdims: { int: 0n } })]) },
			else_branch: {
				graph: branch("else", [
					node("Squeeze", ["x"], "flat", axes),
					node("ReduceMax", ["flat"], "else/out", { ...axes, keepdims: { int: 0n } }),
				]),
			},
		};
		b.output(b.op("If", ["flag"], branches, { name: "y" }), "float", [2]);
		for (const flag of [0, 1]) {
			const feeds = { x: tensor(random("x").normals(6), [2, 1, 3]), flag: tensor(Uint8Array.of(flag), [], "bool") };
			expect(await run(upgrade(b.build()), feeds)).toEqual(await run(b.build(), feeds));
		}
	});

	it("leaves nodes without inputs or outputs for the runtime to refuse", () => {
		const old = graphBuilder({ opset: 11 }).build();
		const nodes = ["ReduceSum", "Softmax", "Dropout"].map((op) => ({
			op,
			domain: "",
			name: op,
			inputs: [],
			outputs: [],
			attributes: { axes: { ints: [1n] } },
		}));
		expect(upgrade({ ...old, nodes }).nodes).toEqual(nodes);
	});
});
