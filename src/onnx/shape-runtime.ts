/** @file What the freeze and infer passes ask of a runtime (design D2); implemented over ONNX Runtime in `src/runtime`. */
import type { Graph, ValueInfo } from "./graph.ts";

/** The passes hand over graphs whose large constants are inputs; what is left is small and may be read into memory. */
export interface ShapeRuntime {
	/** The graph after the runtime's basic optimisations (constant folding; standard operators only). */
	fold(graph: Graph): Promise<Graph>;
	/** Type and dims of each output of the graph that is a tensor, whatever the graph declares; the graph is not run. */
	infer(graph: Graph): Promise<ValueInfo[]>;
}
