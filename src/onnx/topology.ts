/** @file Order of nodes: every value is made once, before it is used. */
import { KintsugiError } from "../errors.ts";
import type { Graph, Node } from "./graph.ts";

const malformed = (where: string, expected: string, found: string) =>
	new KintsugiError("onnx", { where, expected, found, fix: "export the model again; this graph is not valid ONNX" });

export const describe = (node: Node): string => `${node.op} node '${node.name || node.outputs[0]}'`;

/** Values of outer graphs that a subgraph reads. */
function captured(graph: Graph): string[] {
	const own = new Set([...graph.inputs.map((v) => v.name), ...graph.initializers.keys(), ...graph.nodes.flatMap((n) => n.outputs)]);
	return [...graph.nodes.flatMap(readNames), ...graph.outputs.map((v) => v.name)].filter((name) => !own.has(name));
}

/** Every value a node reads, those of its subgraphs included; left-out inputs are not listed. */
export function readNames(node: Node): string[] {
	const inner = Object.values(node.attributes).flatMap((a) => ("graph" in a ? captured(a.graph) : []));
	return [...node.inputs.filter((name) => name !== ""), ...inner];
}

/**
 * Nodes in topological order, stable where the file's order is already right.
 * Throws `onnx` on cycles, on values that nothing makes, and on values made twice. `outer` are the values of enclosing graphs.
 */
export function sortNodes(graph: Graph, where: string, outer: ReadonlySet<string> = new Set()): Node[] {
	const known = new Set<string>([...outer, ...graph.inputs.map((v) => v.name), ...graph.initializers.keys()]);
	const maker = new Map<string, Node>();
	for (const node of graph.nodes) {
		for (const output of node.outputs) {
			if (output === "") continue;
			if (maker.has(output) || graph.initializers.has(output)) {
				throw malformed(where, "every value to be made once", `'${output}' made a second time by ${describe(node)}`);
			}
			maker.set(output, node);
		}
	}
	const sorted: Node[] = [];
	const state = new Map<Node, "open" | "done">();
	// An explicit stack: real graphs are thousands of nodes deep.
	for (const root of graph.nodes) {
		const stack = [root];
		while (stack.length > 0) {
			const node = stack[stack.length - 1];
			if (state.get(node) === "done") {
				stack.pop();
				continue;
			}
			state.set(node, "open");
			let ready = true;
			for (const name of readNames(node)) {
				if (known.has(name)) continue;
				const source = maker.get(name);
				if (!source) throw malformed(where, "every input to be made by something", `'${name}', read by ${describe(node)}, made by nothing`);
				if (state.get(source) === "open") throw malformed(where, "no cycles", `a cycle through ${describe(node)}`);
				stack.push(source);
				ready = false;
				break;
			}
			if (!ready) continue;
			stack.pop();
			state.set(node, "done");
			sorted.push(node);
			for (const output of node.outputs) known.add(output);
		}
	}
	for (const output of graph.outputs) {
		if (!known.has(output.name))
			throw malformed(where, "every output to be made by something", `the output '${output.name}' made by nothing`);
	}
	return sorted;
}
