/** @file What a rule sees of its node: values with dims, attributes, constants. */
import { KintsugiError } from "../errors.ts";
import type { Graph, Node } from "../onnx/graph.ts";
import { describe } from "../onnx/topology.ts";
import type { Emit, Value } from "./emit.ts";
import type { RuleContext } from "./rule.ts";

export interface ContextParts {
	node: Node;
	graph: Graph;
	e: Emit;
	needs: (i: number) => boolean;
	value: (name: string) => Value;
	fresh: (hint: string) => string;
	constant: (name: string) => number[] | undefined;
}

/** `finish` returns the forward node, with the further outputs that its rule asked for. */
export function nodeContext({ node, graph, e, needs, value, fresh, constant }: ContextParts): { context: RuleContext; finish: () => Node } {
	const extras = new Map<number, string>();
	const unsupported = (form: string, fix: string) =>
		new KintsugiError("autodiff", { where: describe(node), expected: "a form of the operator that has a rule", found: form, fix });
	const inputs = node.inputs.map((name) => (name === "" ? undefined : value(name)));
	const outputs = node.outputs.map((name) => (name === "" ? { name, type: "float" as const, dims: [] } : value(name)));
	const context: RuleContext = {
		e,
		node,
		opset: graph.opset,
		inputs,
		outputs,
		y: outputs[0],
		needs,
		unsupported,
		x(i = 0) {
			const found = inputs[i];
			if (!found) throw unsupported(`no input ${i}`, "export the model again; the node is not valid ONNX");
			return found;
		},
		constant: (i) => constant(node.inputs[i] ?? ""),
		known(i, what) {
			const found = constant(node.inputs[i] ?? "");
			if (!found) throw unsupported(`${what} that are not constant`, "export the model with fixed shapes");
			return found;
		},
		int(name, fallback) {
			const a = node.attributes[name];
			return a && "int" in a ? Number(a.int) : fallback;
		},
		ints(name) {
			const a = node.attributes[name];
			return a && "ints" in a ? a.ints.map(Number) : undefined;
		},
		float(name, fallback) {
			const a = node.attributes[name];
			return a && "float" in a ? a.float : fallback;
		},
		text(name, fallback) {
			const a = node.attributes[name];
			return a && "string" in a ? a.string : fallback;
		},
		extra(index, { type, dims }) {
			const existing = node.outputs[index];
			const name = existing !== undefined && existing !== "" ? existing : (extras.get(index) ?? fresh(`${node.op}.${index}`));
			if (!existing) extras.set(index, name);
			return { name, type, dims };
		},
	};
	const finish = (): Node => {
		if (extras.size === 0) return node;
		const count = Math.max(node.outputs.length, ...[...extras.keys()].map((i) => i + 1));
		return { ...node, outputs: Array.from({ length: count }, (_, i) => extras.get(i) ?? node.outputs[i] ?? "") };
	};
	return { context, finish };
}
