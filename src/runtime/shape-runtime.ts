/** @file Folding and shape inference by ONNX Runtime itself. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elementTypeOf } from "../onnx/elements.ts";
import type { ValueInfo } from "../onnx/graph.ts";
import { readModel } from "../onnx/read.ts";
import type { ShapeRuntime } from "../onnx/shape-runtime.ts";
import { readBytes } from "./model-file.ts";
import { openPrepared } from "./session.ts";

export const shapeRuntime: ShapeRuntime = {
	async fold(graph) {
		// ONNX Runtime hands an optimised graph out only through a file.
		const folder = mkdtempSync(join(tmpdir(), "kintsugi-"));
		try {
			const saveOptimized = join(folder, "folded.onnx");
			const session = await openPrepared(graph, { optimize: "basic", saveOptimized, threads: 1 }, { place: readBytes });
			await session.close();
			return { ...readModel(readFileSync(saveOptimized)), name: graph.name };
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	},
	async infer(graph) {
		const session = await openPrepared(graph, { optimize: "disabled", threads: 1 }, { place: readBytes, untypedOutputs: true });
		const outputs = session.outputs.map((v): ValueInfo => ({ name: v.name, type: elementTypeOf(v.dtype), dims: v.dims }));
		await session.close();
		return outputs;
	},
};
