/** @file The gradient of an ONNX model in a browser: the code that runs in Node, with onnxruntime-web as its runtime. */
import * as ort from "onnxruntime-web/wasm";
import { lossGradientGraph } from "../../src/autodiff/index.ts";
import { type ElementType, freeze, readModel, type ShapeRuntime, writeModel } from "../../src/onnx/index.ts";

const ELEMENT_TYPES: Partial<Record<string, ElementType>> = { float32: "float" };

/** Infers shapes like ONNX Runtime anywhere; its web build does not hand out a folded graph, so the model must come with fixed shapes. */
const shapeRuntime: ShapeRuntime = {
	fold: async (graph) => graph,
	async infer(graph) {
		const session = await ort.InferenceSession.create(writeModel(graph, { untypedOutputs: true }), { graphOptimizationLevel: "disabled" });
		const outputs = session.outputMetadata.map((value) => {
			if (!value.isTensor) throw new Error(`${value.name} is no tensor`);
			const type = ELEMENT_TYPES[value.type] ?? (value.type as ElementType);
			return { name: value.name, type, dims: value.shape };
		});
		await session.release();
		return outputs;
	},
};

export interface PageResult {
	loss: number[];
	gradient: number[];
	milliseconds: number;
}

/** Loss and input gradient of the model at `url` (`x` [batch, 3, 16, 16] -> `logits` [batch, 10]) for a grey ramp and label 3. */
export async function run(url: string, wasm: string): Promise<PageResult> {
	ort.env.wasm.wasmPaths = wasm;
	ort.env.wasm.numThreads = 1;
	const start = performance.now();
	const model = readModel(new Uint8Array(await (await fetch(url)).arrayBuffer()));
	const frozen = await freeze(model, { dims: { x: [1, 3, 16, 16] } }, shapeRuntime);
	const graph = lossGradientGraph(frozen, { input: "x", logits: "logits", loss: "cross-entropy" });
	const session = await ort.InferenceSession.create(writeModel(graph));
	const { loss, gradient } = await session.run({
		x: new ort.Tensor("float32", Float32Array.from(ramp()), [1, 3, 16, 16]),
		targets: new ort.Tensor(
			"float32",
			Float32Array.from({ length: 10 }, (_, k) => (k === 3 ? 1 : 0)),
			[1, 10],
		),
	});
	return {
		loss: [...(loss.data as Float32Array)],
		gradient: [...(gradient.data as Float32Array)],
		milliseconds: performance.now() - start,
	};
}

/** Pixels of the example's image. */
export const ramp = (): number[] => Array.from({ length: 3 * 16 * 16 }, (_, i) => (i % 256) / 255);
