/** @file Drops what a graph's outputs do not need. */
import type { Graph } from "./graph.ts";
import { readNames } from "./topology.ts";

/** The graph without nodes, constants and domains that no output needs; inputs stay as they are. */
export function prune(graph: Graph): Graph {
	const needed = new Set(graph.outputs.map((v) => v.name));
	const nodes = [...graph.nodes]
		.reverse()
		.filter((node) => {
			if (!node.outputs.some((name) => needed.has(name))) return false;
			for (const name of readNames(node)) needed.add(name);
			return true;
		})
		.reverse();
	const used = new Set(nodes.map((n) => n.domain));
	return {
		...graph,
		nodes,
		initializers: new Map([...graph.initializers].filter(([name]) => needed.has(name))),
		domains: Object.fromEntries(Object.entries(graph.domains).filter(([domain]) => used.has(domain))),
	};
}
