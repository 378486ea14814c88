/** @file Floating-point operations of the products in a graph; what only passes over memory is not counted. */
import { type Graph, infer, type ShapeRuntime } from "../src/onnx/index.ts";
import { sizeOf } from "../src/tensor/tensor.ts";

/** Multiplications and additions of Conv, ConvTranspose, MatMul and Gemm. Needs a frozen graph. */
export async function countFlops(graph: Graph, runtime: ShapeRuntime): Promise<{ flops: number }> {
	const { nodes, values } = await infer(graph, runtime);
	let flops = 0;
	for (const { op, inputs, outputs, attributes } of nodes) {
		const dims = (name: string) => values.get(name)?.dims ?? [];
		const [x, w, y] = [dims(inputs[0]), dims(inputs[1]), dims(outputs[0])];
		const transposed = attributes.transA && "int" in attributes.transA && attributes.transA.int !== 0n;
		// A weight of a convolution is [out, in / group, ...kernel], of a transposed one [in, out / group, ...kernel].
		if (op === "Conv") flops += 2 * sizeOf(y) * sizeOf(w.slice(1));
		else if (op === "ConvTranspose") flops += 2 * sizeOf(x) * sizeOf(w.slice(1));
		else if (op === "MatMul") flops += 2 * sizeOf(y) * (x.at(-1) ?? 0);
		else if (op === "Gemm") flops += 2 * sizeOf(y) * (transposed ? x[0] : x[1]);
	}
	return { flops };
}
