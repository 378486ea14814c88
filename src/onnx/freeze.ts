/** @file Fixes the dims of a graph's inputs and folds what follows from them (design D2). */
import { KintsugiError } from "../errors.ts";
import { rename } from "./compose.ts";
import type { Dims, Graph, ValueInfo } from "./graph.ts";
import { infer, type StaticGraph, withoutWeights } from "./infer.ts";
import { prune } from "./prune.ts";
import type { ShapeRuntime } from "./shape-runtime.ts";
import { upgrade } from "./upgrade.ts";

export interface FreezeOptions {
	/** By input: its full dims, e.g. `{ pixel_values: [8, 3, 224, 224] }`; or by symbolic dim: its value, e.g. `{ batch: 8 }`. */
	dims?: Readonly<Record<string, number | readonly number[]>>;
	/** Values to keep as the graph's outputs (default: its outputs); nodes that only serve others are dropped. */
	outputs?: readonly string[];
}

/**
 * The graph with static dims, opset >= 18, shape arithmetic folded away, and the type and dims of every value.
 * Weights are not loaded. Throws `shape` if dims stay unknown.
 */
export async function freeze(graph: Graph, { dims = {}, outputs }: FreezeOptions, runtime: ShapeRuntime): Promise<StaticGraph> {
	const names = outputs ?? graph.outputs.map((v) => v.name);
	const inputs = fixInputs(graph, dims);
	const untyped = names.map((name): ValueInfo => ({ name, type: "float", dims: [] }));
	const fixed = prune({ ...upgrade(graph), inputs, outputs: untyped });
	let result = await infer(await fold(fixed, runtime, "folded/"), runtime);
	// An operator that the runtime replaces by its function body (GroupNormalization) brings shape arithmetic that only the next pass folds.
	for (let pass = 2; result.dynamic.size > 0; pass++) {
		const again = await infer(await fold(result, runtime, `folded-${pass}/`), runtime);
		if (again.dynamic.size >= result.dynamic.size) break;
		result = again;
	}
	return result;
}

/**
 * One pass of folding. Constants that the runtime made get a prefix: it calls some "gemm_input_shape", and fails on a graph that
 * already has one.
 */
async function fold(graph: Graph, runtime: ShapeRuntime, prefix: string): Promise<Graph> {
	const { light, restore } = withoutWeights(graph);
	const folded = await runtime.fold({ ...light, outputs: allTensors(graph, await runtime.infer(light)) });
	const kept = new Set([...light.initializers.keys(), ...folded.outputs.map((v) => v.name)]);
	const isMade = (name: string) => folded.initializers.has(name) && !kept.has(name);
	return prune(restore(rename(folded, (name) => (isMade(name) ? `${prefix}${name}` : name))));
}

function allTensors(graph: Graph, tensors: ValueInfo[]): ValueInfo[] {
	const odd = graph.outputs.find((v) => !tensors.some((t) => t.name === v.name));
	if (!odd) return tensors;
	throw new KintsugiError("onnx", {
		where: `output '${odd.name}'`,
		expected: "a tensor",
		found: "a sequence or another type",
		fix: "freeze the other outputs only",
	});
}

/** The inputs with these dims put in; throws `shape` for names that the graph does not have and for dims that do not fit. */
export function fixInputs(graph: Graph, dims: NonNullable<FreezeOptions["dims"]>): ValueInfo[] {
	const symbols = new Set(graph.inputs.flatMap((v) => v.dims.filter((d) => typeof d === "string")));
	for (const [key, value] of Object.entries(dims)) {
		const isKnown = typeof value === "number" ? symbols.has(key) : graph.inputs.some((v) => v.name === key);
		if (!isKnown) {
			const what = typeof value === "number" ? "symbolic dim" : "input";
			const list = typeof value === "number" ? [...symbols] : graph.inputs.map((v) => v.name);
			throw new KintsugiError("shape", {
				where: `dims of the graph '${graph.name}'`,
				expected: `an existing ${what} (${list.join(", ") || "it has none"})`,
				found: key,
				fix: "name one of these",
			});
		}
	}
	return graph.inputs.map((v) => ({ ...v, dims: fixDims(v, dims) }));
}

function fixDims(v: ValueInfo, dims: NonNullable<FreezeOptions["dims"]>): Dims {
	// A dim or an input may be called "constructor".
	const own = (key: string) => (Object.hasOwn(dims, key) ? dims[key] : undefined);
	const given = own(v.name);
	if (given === undefined || typeof given === "number") {
		return v.dims.map((d) => {
			const value = typeof d === "string" ? own(d) : d;
			return typeof value === "number" ? value : d;
		});
	}
	const fits = v.dims.length === given.length && v.dims.every((d, i) => typeof d === "string" || d === given[i]);
	if (!fits && v.dims[0] !== "*") {
		throw new KintsugiError("shape", {
			where: `input '${v.name}'`,
			expected: `dims that fit [${v.dims.join(", ")}]`,
			found: `[${given.join(", ")}]`,
			fix: "give dims that the model accepts",
		});
	}
	return given;
}
