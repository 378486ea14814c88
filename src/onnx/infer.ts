/** @file Type and dims of every value of a graph, as the runtime infers them. */
import { KintsugiError } from "../errors.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { ConstantTensor, Dims, ElementType, Graph, ValueInfo } from "./graph.ts";
import type { ShapeRuntime } from "./shape-runtime.ts";

export interface StaticValue {
	type: ElementType;
	dims: readonly number[];
}

/** A graph with the type and dims of its values. */
export interface StaticGraph extends Graph {
	values: ReadonlyMap<string, StaticValue>;
	/** Values whose dims depend on the data, such as those of NonZero. */
	dynamic: ReadonlyMap<string, ValueInfo>;
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

/** No tensor of a network that can run is larger; passes after this one may make tables as large as an axis. */
const MAX_ELEMENTS = 2 ** 32;

/** Throws `shape` if an input has dims that are not numbers, or a value more than 2^32 elements. */
export async function infer(graph: Graph, runtime: ShapeRuntime): Promise<StaticGraph> {
	const made = graph.nodes.flatMap((n) => n.outputs).filter((name) => name !== "");
	const { light } = withoutWeights(graph);
	const outputs = made.map((name): ValueInfo => ({ name, type: "float", dims: [] }));
	const inferred = made.length === 0 ? [] : await runtime.infer({ ...light, outputs });
	const values = new Map<string, StaticValue>();
	const dynamic = new Map<string, ValueInfo>();
	for (const [name, c] of graph.initializers) values.set(name, { type: c.type, dims: c.dims });
	for (const v of graph.inputs) values.set(v.name, { type: v.type, dims: inputDims(v) });
	for (const v of inferred) {
		if (isStatic(v.dims)) values.set(v.name, { type: v.type, dims: v.dims });
		else dynamic.set(v.name, v);
	}
	for (const [name, { dims }] of values) checkSize(name, dims);
	const typed = graph.outputs.map((v): ValueInfo => ({ name: v.name, ...(values.get(v.name) ?? dynamic.get(v.name) ?? v) }));
	return { ...graph, outputs: typed, values, dynamic };
}

const isStatic = (dims: Dims): dims is readonly number[] => dims.every((d) => typeof d === "number");

function checkSize(name: string, dims: readonly number[]): void {
	if (sizeOf(dims) <= MAX_ELEMENTS) return;
	throw new KintsugiError("shape", {
		where: `value '${name}'`,
		expected: `at most ${MAX_ELEMENTS} elements`,
		found: `[${dims.join(", ")}]`,
		fix: "give smaller dims to the model's inputs; if they are small, the model is damaged",
	});
}

function inputDims({ name, dims }: ValueInfo): readonly number[] {
	if (isStatic(dims)) return dims;
	throw new KintsugiError("shape", {
		where: `input '${name}'`,
		expected: "dims that are known before the graph runs",
		found: `[${dims.join(", ")}]`,
		fix: "give its dims to freeze",
	});
}
