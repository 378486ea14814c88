/** @file Folding and shape inference by ONNX Runtime itself. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { graphBuilder } from "../onnx/builder.ts";
import { elementTypeOf } from "../onnx/elements.ts";
import { type Graph, UNKNOWN_RANK, type ValueInfo } from "../onnx/graph.ts";
import { readModel } from "../onnx/read.ts";
import type { ShapeRuntime } from "../onnx/shape-runtime.ts";
import { readBytes } from "./model-file.ts";
import { createSession, dimsOf } from "./session.ts";

async function inferred(graph: Graph): Promise<ValueInfo[]> {
	const session = await createSession(graph, { optimize: "disabled", threads: 1 }, { place: readBytes, untypedOutputs: true });
	const outputs = session.outputMetadata.flatMap((m): ValueInfo[] => {
		const type = m.isTensor ? elementTypeOf(m.type) : undefined;
		return type ? [{ name: m.name, type, dims: dimsOf(m) }] : [];
	});
	await session.release();
	return outputs;
}

/** Those of these values whose rank is not known: the dims of their Shape are not either. */
async function withoutRank(graph: Graph, names: readonly string[]): Promise<Set<string>> {
	if (names.length === 0) return new Set();
	const b = graphBuilder({ extend: { ...graph, outputs: [] }, prefix: "rank/" });
	const ranks = new Map(names.map((name) => [b.op("Shape", [name]), name]));
	for (const rank of ranks.keys()) b.output(rank, "int64", []);
	const unknown = (await inferred(b.build())).filter((v) => typeof v.dims[0] !== "number");
	return new Set(unknown.map((v) => ranks.get(v.name) ?? ""));
}

export const shapeRuntime: ShapeRuntime = {
	async fold(graph) {
		// ONNX Runtime hands an optimised graph out only through a file.
		const folder = mkdtempSync(join(tmpdir(), "kintsugi-"));
		try {
			const saveOptimized = join(folder, "folded.onnx");
			const session = await createSession(graph, { optimize: "basic", saveOptimized, threads: 1 }, { place: readBytes });
			await session.release();
			return { ...readModel(readFileSync(saveOptimized)), name: graph.name };
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	},
	async infer(graph) {
		const outputs = await inferred(graph);
		// ONNX Runtime's binding reports no dims for scalars and for values of unknown rank alike.
		const unknown = await withoutRank(
			graph,
			outputs.filter((v) => v.dims.length === 0).map((v) => v.name),
		);
		return outputs.map((v) => (unknown.has(v.name) ? { ...v, dims: UNKNOWN_RANK } : v));
	},
};
