/** @file Order of nodes: every value is made once, before it is used. */
import { KintsugiError } from "../errors.ts";
import type { Graph, Node } from "./graph.ts";

export const malformed = (where: string, expected: string, found: string) =>
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

/** Names of values, to be asked for. */
export type Names = Pick<ReadonlySet<string>, "has">;

/** The node that makes each value; throws `onnx` if a value has two sources or no name. */
function makers(graph: Graph, where: string): Map<string, Node> {
	const maker = new Map<string, Node>();
	const given = new Set(graph.initializers.keys());
	for (const { name } of graph.inputs) {
		if (name === "" || given.has(name)) throw malformed(where, "inputs with names of their own", `'${name}'`);
		given.add(name);
	}
	for (const node of graph.nodes) {
		for (const output of node.outputs) {
			if (output === "") continue;
			if (maker.has(output) || given.has(output)) {
				throw malformed(where, "every value to be made once", `'${output}' made a second time by ${describe(node)}`);
			}
			maker.set(output, node);
		}
	}
	return maker;
}

/**
 * Nodes in topological order, stable where the file's order is already right.
 * Throws `onnx` on cycles, on values that nothing makes, and on values made twice. `outer` are the values of enclosing graphs.
 */
export function sortNodes(graph: Graph, where: string, outer: Names = new Set()): Node[] {
	const maker = makers(graph, where);
	const known = new Set<string>([...graph.inputs.map((v) => v.name), ...graph.initializers.keys()]);
	const isKnown = (name: string) => known.has(name) || (!maker.has(name) && outer.has(name));
	const sorted: Node[] = [];
	const open = new Set<Node>();
	const done = new Set<Node>();
	// An explicit stack: real graphs are thousands of nodes deep.
	const stack: { node: Node; reads: string[] }[] = [];
	const enter = (node: Node) => {
		open.add(node);
		stack.push({ node, reads: readNames(node).reverse() });
	};
	for (const root of graph.nodes) {
		if (!done.has(root)) enter(root);
		for (let top = stack.at(-1); top; top = stack.at(-1)) {
			const { node, reads } = top;
			const name = reads.at(-1);
			if (name === undefined) {
				stack.pop();
				done.add(node);
				sorted.push(node);
				for (const output of node.outputs) known.add(output);
			} else if (isKnown(name)) reads.pop();
			else {
				const source = maker.get(name);
				if (!source) throw malformed(where, "every input to be made by something", `'${name}', read by ${describe(node)}, made by nothing`);
				if (open.has(source)) throw malformed(where, "no cycles", `a cycle through ${describe(node)}`);
				enter(source);
			}
		}
	}
	checkOutputs(graph, where, isKnown);
	return sorted;
}

function checkOutputs({ outputs }: Graph, where: string, isKnown: (name: string) => boolean): void {
	const seen = new Set<string>();
	for (const { name } of outputs) {
		if (name === "" || !isKnown(name))
			throw malformed(where, "every output to be made by something", `the output '${name}' made by nothing`);
		if (seen.has(name)) throw malformed(where, "outputs with names of their own", `'${name}' twice`);
		seen.add(name);
	}
}
