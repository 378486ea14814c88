/** @file Which nodes lie on a path from `wrt` to `of`. */
import { isFloat } from "../onnx/elements.ts";
import type { Node } from "../onnx/graph.ts";
import type { StaticGraph } from "../onnx/infer.ts";
import { readNames } from "../onnx/topology.ts";
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

const typeOf = (graph: StaticGraph, name: string) => (graph.values.get(name) ?? graph.dynamic.get(name))?.type ?? "bool";

/** Input i passes a cotangent on unless a rule stops there or its type is not a float. */
function passes(graph: StaticGraph, node: Node, i: number): boolean {
	if (!isFloat(typeOf(graph, node.inputs[i]))) return false;
	const key = operatorKey(node.op, node.domain);
	return !STOPS.has(key) && !RULES.get(key)?.stop?.includes(i);
}

/** Values that a node passes cotangents to; those that its subgraphs read count, so that control flow on a path is seen. */
function carriers(graph: StaticGraph, node: Node): string[] {
	const direct = node.inputs.filter((_, i) => passes(graph, node, i));
	const isInput = new Set(node.inputs);
	return [...direct, ...readNames(node).filter((name) => !isInput.has(name))];
}

export function findPaths(graph: StaticGraph, of: readonly string[], wrt: readonly string[]): Paths {
	const float = (name: string) => isFloat(typeOf(graph, name));
	const active = new Set(wrt);
	// The input by which each active value was first reached.
	const reachedBy = new Map<string, { node: Node; from: string }>();
	const ends: Node[] = [];
	for (const node of graph.nodes) {
		const from = carriers(graph, node).find((name) => active.has(name));
		if (from === undefined) {
			if (node.inputs.some((name) => active.has(name))) ends.push(node);
			continue;
		}
		for (const output of node.outputs) {
			if (!float(output)) continue;
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
			for (const name of carriers(graph, node)) {
				needed.add(name);
				leads.set(name, node);
			}
			return true;
		})
		.reverse();
	const through = (node: Node): string => {
		const steps = [node.op];
		for (let at = node; ; ) {
			const from: string | undefined = carriers(graph, at).find((name) => active.has(name));
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
