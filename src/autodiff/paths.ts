/** @file Which nodes lie on a path from `wrt` to `of`. */
import { isFloat } from "../onnx/elements.ts";
import type { Node } from "../onnx/graph.ts";
import type { StaticGraph } from "../onnx/infer.ts";
import { operatorKey, RULES, STOPS } from "./rules/index.ts";

export interface Paths {
	/** Values that depend differentiably on `wrt`. */
	active: ReadonlySet<string>;
	/** Nodes between `wrt` and `of`, in topological order. */
	nodes: readonly Node[];
	/** One path through a node, for messages: "pixels -> Conv -> ... -> logits". */
	through(node: Node): string;
	/** Nodes at which paths from `wrt` end without reaching `of`. */
	ends: readonly Node[];
}

/** Input i passes a cotangent on unless a rule stops there or its type is not a float. */
function passes(graph: StaticGraph, node: Node, i: number): boolean {
	const type = graph.values.get(node.inputs[i])?.type;
	if (type === undefined || !isFloat(type)) return false;
	const key = operatorKey(node.op, node.domain);
	return !STOPS.has(key) && !RULES.get(key)?.stop?.includes(i);
}

export function findPaths(graph: StaticGraph, of: readonly string[], wrt: readonly string[]): Paths {
	const float = (name: string) => isFloat(graph.values.get(name)?.type ?? "bool");
	const active = new Set(wrt);
	// The input by which each active value was first reached.
	const reachedBy = new Map<string, { node: Node; from: string }>();
	const ends: Node[] = [];
	for (const node of graph.nodes) {
		const from = node.inputs.find((name, i) => active.has(name) && passes(graph, node, i));
		if (from === undefined) {
			if (node.inputs.some((name) => active.has(name))) ends.push(node);
			continue;
		}
		for (const output of node.outputs) {
			if (!float(output) || active.has(output)) continue;
			active.add(output);
			reachedBy.set(output, { node, from });
		}
		if (!node.outputs.some(float)) ends.push(node);
	}
	const needed = new Set(of);
	const leads = new Map<string, Node>();
	const nodes = [...graph.nodes]
		.reverse()
		.filter((node) => {
			if (!node.outputs.some((name) => needed.has(name) && active.has(name) && reachedBy.has(name))) return false;
			node.inputs.forEach((name, i) => {
				if (!passes(graph, node, i)) return;
				needed.add(name);
				leads.set(name, node);
			});
			return true;
		})
		.reverse();
	const through = (node: Node): string => {
		const steps = [node.op];
		for (let at = node; ; ) {
			const from: string | undefined = at.inputs.find((name, i) => active.has(name) && passes(graph, at, i));
			if (from === undefined) break;
			const source = reachedBy.get(from);
			steps.unshift(source ? source.node.op : `'${from}'`);
			if (!source) break;
			at = source.node;
		}
		for (let at = node; ; ) {
			const output = at.outputs.find((name) => of.includes(name) || leads.has(name));
			const next = output === undefined || of.includes(output) ? undefined : leads.get(output);
			steps.push(next ? next.op : `'${output ?? of[0]}'`);
			if (!next) break;
			at = next;
		}
		return abridge(steps).join(" -> ");
	};
	return { active, nodes, through, ends };
}

const LONGEST = 9;

const abridge = (steps: readonly string[]): readonly string[] =>
	steps.length <= LONGEST ? steps : [...steps.slice(0, 4), `(${steps.length - 8} more)`, ...steps.slice(-4)];
