/** @file Rewrites graphs of opset 11 to 17 in the forms of opset 18, so that every later pass knows one form of each operator. */
import { graphBuilder } from "./builder.ts";
import type { Attribute, ConstantTensor, Graph, Node } from "./graph.ts";
import { scalarTensor } from "./read-tensor.ts";

/** Passes after `upgrade` may rely on the forms of this opset or newer. */
export const UPGRADED_OPSET = 18;

/** The opset at which a list attribute became an optional second input. */
const ATTRIBUTE_TO_INPUT: ReadonlyMap<string, { attribute: string; since: number }> = new Map([
	["Squeeze", { attribute: "axes", since: 13 }],
	["Unsqueeze", { attribute: "axes", since: 13 }],
	["ReduceSum", { attribute: "axes", since: 13 }],
	["Split", { attribute: "split", since: 13 }],
	...["Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"].map(
		(name) => [`Reduce${name}`, { attribute: "axes", since: 18 }] as const,
	),
]);

/** The same graph with opset >= 18, its subgraphs included. */
export function upgrade(graph: Graph): Graph {
	let subgraphs = 0;
	const upgraded = (g: Graph, prefix: string): Graph => {
		const names = graphBuilder({ extend: g, prefix });
		const initializers = new Map<string, ConstantTensor>(g.initializers);
		const constant = (values: readonly bigint[]): string => {
			const name = names.fresh("const");
			initializers.set(name, scalarTensor("int64", BigInt64Array.from(values), [values.length]));
			return name;
		};
		const inner = (a: Attribute): Attribute => ("graph" in a ? { graph: upgraded(a.graph, `${prefix}${++subgraphs}/`) } : a);
		const nodes = g.nodes.flatMap((node) => {
			const attributes = Object.fromEntries(Object.entries(node.attributes).map(([name, a]) => [name, inner(a)]));
			return upgradeNode({ ...node, attributes }, graph.opset, constant, names.fresh);
		});
		return { ...g, opset: UPGRADED_OPSET, initializers, nodes };
	};
	return graph.opset >= UPGRADED_OPSET ? graph : upgraded(graph, "upgrade/");
}

function upgradeNode(node: Node, opset: number, constant: (values: readonly bigint[]) => string, fresh: (hint: string) => string): Node[] {
	// A node without input or output is not valid; the runtime says so.
	if (node.domain !== "" || node.inputs.length === 0 || node.outputs.length === 0) return [node];
	const moved = ATTRIBUTE_TO_INPUT.get(node.op);
	let out = node;
	if (moved && opset < moved.since) {
		const { [moved.attribute]: list, ...attributes } = node.attributes;
		if (list && "ints" in list) out = { ...node, attributes, inputs: [node.inputs[0], constant(list.ints)] };
	}
	if (out.op === "Split" && out.inputs.length < 2) {
		return [{ ...out, attributes: { ...out.attributes, num_outputs: { int: BigInt(out.outputs.length) } } }];
	}
	// Its ratio became an input that means nothing outside of training.
	if (out.op === "Dropout" && opset < 12) return [{ ...out, attributes: {}, inputs: [out.inputs[0]] }];
	if (out.op === "RoiAlign" && opset < 16) {
		return [{ ...out, attributes: { coordinate_transformation_mode: { string: "output_half_pixel" }, ...out.attributes } }];
	}
	if (FLATTENED.has(out.op) && opset < 13 && out.outputs.length === 1) return flattened(out, fresh);
	return [out];
}

/** Before opset 13 these flattened their input to two dims around `axis` (default 1). */
const FLATTENED = new Set(["Softmax", "LogSoftmax", "Hardmax"]);

function flattened(node: Node, fresh: (hint: string) => string): Node[] {
	const given = node.attributes.axis;
	const axis = given && "int" in given ? given.int : 1n;
	const last: Record<string, Attribute> = { axis: { int: -1n } };
	if (axis === -1n) return [{ ...node, attributes: last }];
	const [flat, soft, shape] = [fresh("flat"), fresh("softmax"), fresh("shape")];
	const make = (op: string, inputs: string[], output: string, attributes: Record<string, Attribute> = {}): Node => ({
		op,
		domain: "",
		name: output,
		inputs,
		outputs: [output],
		attributes,
	});
	return [
		make("Shape", [node.inputs[0]], shape),
		make("Flatten", [node.inputs[0]], flat, { axis: { int: axis } }),
		make(node.op, [flat], soft, last),
		{ ...make("Reshape", [soft, shape], node.outputs[0]), name: node.name },
	];
}
