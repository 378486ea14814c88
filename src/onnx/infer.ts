/** @file Type and dims of every value of a graph, as the runtime infers them. */
import { KintsugiError } from "../errors.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { ConstantTensor, ElementType, Graph, ValueInfo } from "./graph.ts";
import type { ShapeRuntime } from "./shape-runtime.ts";
import { describe } from "./topology.ts";

export interface StaticValue {
	type: ElementType;
	dims: readonly number[];
}

/** A graph in which type and dims of every value are known numbers. */
export interface StaticGraph extends Graph {
	values: ReadonlyMap<string, StaticValue>;
}

/** Constants up to this many elements take part in folding and shape inference; larger ones never decide a shape. */
const SMALL = 1024;

const isLarge = (c: ConstantTensor) => sizeOf(c.dims) > SMALL;

/** The graph with its large constants as inputs, so that the runtime need not load them; `restore` puts them back. */
export function withoutWeights(graph: Graph): { light: Graph; restore: (folded: Graph) => Graph } {
	const large = [...graph.initializers].filter(([, c]) => isLarge(c));
	const light: Graph = {
		...graph,
		inputs: [...graph.inputs, ...large.map(([name, c]): ValueInfo => ({ name, type: c.type, dims: c.dims }))],
		initializers: new Map([...graph.initializers].filter(([, c]) => !isLarge(c))),
	};
	const restore = (folded: Graph): Graph => {
		const used = new Set([...folded.nodes.flatMap((n) => n.inputs), ...folded.outputs.map((v) => v.name)]);
		return {
			...folded,
			inputs: graph.inputs,
			initializers: new Map([...folded.initializers, ...large.filter(([name]) => used.has(name))]),
		};
	};
	return { light, restore };
}

/** Throws `shape` if an input or a value has dims that are not numbers. */
export async function infer(graph: Graph, runtime: ShapeRuntime): Promise<StaticGraph> {
	const made = graph.nodes.flatMap((n) => n.outputs).filter((name) => name !== "");
	const { light } = withoutWeights(graph);
	const outputs = made.map((name): ValueInfo => ({ name, type: "float", dims: [] }));
	const inferred = made.length === 0 ? [] : await runtime.infer({ ...light, outputs });
	const values = new Map<string, StaticValue>();
	for (const [name, c] of graph.initializers) values.set(name, { type: c.type, dims: c.dims });
	for (const v of [...graph.inputs, ...inferred]) values.set(v.name, { type: v.type, dims: staticDims(v, graph) });
	const typed = graph.outputs.map((v): ValueInfo => ({ name: v.name, ...(values.get(v.name) ?? v) }));
	return { ...graph, outputs: typed, values };
}

function staticDims(v: ValueInfo, graph: Graph): number[] {
	return v.dims.map((d) => {
		if (typeof d === "number") return d;
		const maker = graph.nodes.find((n) => n.outputs.includes(v.name));
		throw new KintsugiError("shape", {
			where: maker ? `output '${v.name}' of ${describe(maker)}` : `input '${v.name}'`,
			expected: "dims that are known before the graph runs",
			found: `[${v.dims.join(", ")}]`,
			fix: maker ? "export the model with fixed shapes" : "give its dims to freeze",
		});
	});
}
