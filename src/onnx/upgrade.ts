/** @file Rewrites graphs of opset 11 to 17 in the forms of opset 18, so that every later pass knows one form of each operator. */
import { graphBuilder, int64Tensor } from "./builder.ts";
import type { Attribute, ConstantTensor, Graph, Node } from "./graph.ts";

/** Passes after `upgrade` may rely on the forms of this opset or newer. */
export const UPGRADED_OPSET = 18;

/** The opset at which a list attribute became an optional second input. */
const ATTRIBUTE_TO_INPUT: Record<string, { attribute: string; since: number }> = {
	Squeeze: { attribute: "axes", since: 13 },
	Unsqueeze: { attribute: "axes", since: 13 },
	ReduceSum: { attribute: "axes", since: 13 },
	Split: { attribute: "split", since: 13 },
	...Object.fromEntries(
		["Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"].map((name) => [
			`Reduce${name}`,
			{ attribute: "axes", since: 18 },
		]),
	),
};

const intOf = (attribute: Attribute | undefined, fallback: number): number =>
	attribute && "int" in attribute ? Number(attribute.int) : fallback;

/** The same graph with opset >= 18. */
export function upgrade(graph: Graph): Graph {
	if (graph.opset >= UPGRADED_OPSET) return graph;
	const names = graphBuilder({ extend: graph, prefix: "upgrade/" });
	const initializers = new Map<string, ConstantTensor>(graph.initializers);
	const constant = (values: readonly number[]): string => {
		const name = names.fresh("const");
		initializers.set(name, int64Tensor(values));
		return name;
	};
	const nodes = graph.nodes.flatMap((node) => (node.domain === "" ? upgradeNode(node, graph.opset, constant, names.fresh) : [node]));
	return { ...graph, opset: UPGRADED_OPSET, initializers, nodes };
}

function upgradeNode(node: Node, opset: number, constant: (values: readonly number[]) => string, fresh: (hint: string) => string): Node[] {
	const moved = ATTRIBUTE_TO_INPUT[node.op];
	let out = node;
	if (moved && opset < moved.since) {
		const { [moved.attribute]: list, ...attributes } = node.attributes;
		if (list && "ints" in list) out = { ...node, attributes, inputs: [node.inputs[0], constant(list.ints.map(Number))] };
	}
	if (out.op === "Split" && out.inputs.length < 2) {
		return [{ ...out, attributes: { ...out.attributes, num_outputs: { int: BigInt(out.outputs.length) } } }];
	}
	if (out.op === "Dropout" && opset < 12) {
		return [{ ...out, op: "Identity", attributes: {}, inputs: [out.inputs[0]], outputs: [out.outputs[0]] }];
	}
	if ((out.op === "Softmax" || out.op === "LogSoftmax") && opset < 13) return oldSoftmax(out, fresh);
	return [out];
}

/** Before opset 13 Softmax flattened its input to two dims around `axis` (default 1). */
function oldSoftmax(node: Node, fresh: (hint: string) => string): Node[] {
	const axis = intOf(node.attributes.axis, 1);
	const last: Record<string, Attribute> = { axis: { int: -1n } };
	if (axis === -1) return [{ ...node, attributes: last }];
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
		make("Flatten", [node.inputs[0]], flat, { axis: { int: BigInt(axis) } }),
		make(node.op, [flat], soft, last),
		{ ...make("Reshape", [soft, shape], node.outputs[0]), name: node.name },
	];
}
