import { describe, expect, it } from "vitest";
import { floatTensor, type Graph, graphBuilder } from "../onnx/index.ts";
import { openSession, shapeRuntime } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { type GradientGraphOptions, gradientGraph } from "./gradient-graph.ts";

/** Two towers, as in CLIP: pixels -> image, ids -> text (by an embedding). */
function towers(): Graph {
	const b = graphBuilder({ name: "towers" });
	const pixels = b.input("pixels", "float", ["batch", 4]);
	const ids = b.input("ids", "int64", ["texts", "length"]);
	const weights = b.constant(floatTensor(random("weights").normals(12), [4, 3]), "weights");
	const hidden = b.op("Tanh", [b.op("MatMul", [pixels, weights])], {}, { name: "hidden" });
	b.output(b.op("Mul", [hidden, hidden], {}, { name: "image" }), "float", ["batch", 3]);
	const table = b.constant(floatTensor(random("table").normals(30), [10, 3]), "table");
	b.output(b.op("ReduceSum", [b.op("Gather", [table, ids]), b.ints([1])], { keepdims: 0 }, { name: "text" }), "float", ["texts", 3]);
	return b.build();
}

const build = (options: GradientGraphOptions) => gradientGraph(towers(), options, shapeRuntime);

describe("gradientGraph", () => {
	it("asks for what is not clear, and lists the choice", async () => {
		await expect(build({})).rejects.toThrow("float image [batch, 3]; float text [texts, 3]");
		await expect(build({ of: ["picture"] })).rejects.toThrow("'picture'; name one of float image [batch, 3]");
		await expect(build({ of: ["image"], wrt: ["picture"] })).rejects.toThrow("'picture'; name one of float pixels [batch, 4]");
		await expect(build({ of: ["text"] })).rejects.toThrow("unless there is only one float input, found none");
		await expect(build({ of: ["image", "text"], wrt: ["pixels"], loss: "bce" })).rejects.toThrow("one output, the logits, and one input");
	});

	it("drops inputs and dims that the outputs wanted do not need", async () => {
		const { graph, wrt, assumed, nodes } = await build({ of: ["image"] });
		expect(graph.inputs).toEqual([
			{ name: "pixels", type: "float", dims: [1, 4] },
			{ name: "cotangent/image", type: "float", dims: [1, 3] },
		]);
		expect(graph.outputs.map((v) => v.name)).toEqual(["image", "grad/pixels"]);
		expect([...graph.initializers.keys()]).not.toContain("table");
		expect([wrt, assumed]).toEqual([["pixels"], { batch: 1 }]);
		expect(nodes.forward + nodes.backward).toBe(graph.nodes.length);
	});

	it("differentiates with respect to inner values, too", async () => {
		const { graph } = await build({ of: ["image"], wrt: ["hidden"], dims: { batch: 2 } });
		expect(graph.outputs.map((v) => v.name)).toEqual(["image", "grad/hidden"]);
		const session = await openSession(graph);
		const pixels = tensor(random("pixels").normals(8), [2, 4]);
		const results = await session.run({ pixels, "cotangent/image": tensor(new Float32Array(6).fill(1), [2, 3]) });
		await session.close();
		// The derivative of h^2 is 2 h.
		results["grad/hidden"].data.forEach((value, i) => {
			expect(Number(value)).toBeCloseTo(2 * Math.sign(Number(value)) * Math.sqrt(Number(results.image.data[i])), 5);
		});
	});
});
