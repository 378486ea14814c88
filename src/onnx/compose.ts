/** @file Joins graphs: outputs of the first become inputs of the second. */
import { KintsugiError } from "../errors.ts";
import type { Attribute, Graph, Node, ValueInfo } from "./graph.ts";

/** The graph with every value and node name passed through `to`. */
export function rename(graph: Graph, to: (name: string) => string): Graph {
	const value = (v: ValueInfo): ValueInfo => ({ ...v, name: to(v.name) });
	const optional = (name: string) => (name === "" ? "" : to(name));
	const attribute = (a: Attribute): Attribute => ("graph" in a ? { graph: rename(a.graph, to) } : a);
	return {
		...graph,
		inputs: graph.inputs.map(value),
		outputs: graph.outputs.map(value),
		initializers: new Map([...graph.initializers].map(([name, c]) => [to(name), c])),
		nodes: graph.nodes.map(
			(n): Node => ({
				...n,
				name: optional(n.name),
				inputs: n.inputs.map(optional),
				outputs: n.outputs.map(optional),
				attributes: Object.fromEntries(Object.entries(n.attributes).map(([key, a]) => [key, attribute(a)])),
			}),
		),
	};
}

export interface ComposeOptions {
	/** Output of `first` -> input of `second`. */
	connect: Readonly<Record<string, string>>;
	/** Prefix of the names of `first` that would clash with names of `second`; its inputs always keep their names. */
	prefix?: string;
	/** Outputs of `first` to keep as outputs of the result. */
	keep?: readonly string[];
}

/**
 * One graph that runs `first`, then `second`: e.g. preprocessing in front of a classifier.
 * Inputs are those of `first`, then the unconnected ones of `second`; outputs are those of `second`, then `keep`.
 * Both must have the same opset (`upgrade` or build them so). Throws `onnx` where names or types do not fit.
 */
export function compose(first: Graph, second: Graph, { connect, prefix = "pre/", keep = [] }: ComposeOptions): Graph {
	const bad = (expected: string, found: string, fix: string) =>
		new KintsugiError("onnx", { where: `joining '${first.name}' to '${second.name}'`, expected, found, fix });
	if (first.opset !== second.opset) {
		throw bad("graphs of one opset", `${first.opset} and ${second.opset}`, "build the first graph with the second's opset");
	}
	const targets = new Map(Object.entries(connect));
	for (const [from, to] of targets) {
		const source = first.outputs.find((v) => v.name === from);
		const sink = second.inputs.find((v) => v.name === to);
		if (!source || !sink) {
			const [what, list] = source ? [`input '${to}'`, second.inputs] : [`output '${from}'`, first.outputs];
			throw bad(`an existing ${what}`, list.map((v) => v.name).join(", "), "connect values that exist");
		}
		if (source.type !== sink.type) throw bad(`'${from}' and '${to}' of one type`, `${source.type} and ${sink.type}`, "add a Cast");
	}
	const connected = new Set(targets.values());
	const secondNames = new Set([...names(second)].filter((name) => !connected.has(name)));
	const firstInputs = new Set(first.inputs.map((v) => v.name));
	const taken = new Set([...secondNames, ...connected, ...firstInputs]);
	const fixed = new Map<string, string>();
	const unique = (name: string): string => {
		let candidate = prefix + name;
		while (taken.has(candidate) || firstNames.has(candidate)) candidate = prefix + candidate;
		taken.add(candidate);
		return candidate;
	};
	const firstNames = names(first);
	// An output of `first` that is also one of its inputs, or that feeds two inputs, cannot simply take the input's name.
	const aliases: Node[] = [];
	const renamedFirst = rename(first, (name) => {
		const known = fixed.get(name);
		if (known !== undefined) return known;
		const target = targets.get(name);
		let to = name;
		if (target !== undefined && !firstInputs.has(name)) to = target;
		else if (!firstInputs.has(name) && (secondNames.has(name) || connected.has(name))) to = unique(name);
		fixed.set(name, to);
		return to;
	});
	for (const [from, to] of targets) {
		if (firstInputs.has(from) && from !== to) {
			aliases.push({ op: "Identity", domain: "", name: unique(`${to}/alias`), inputs: [from], outputs: [to], attributes: {} });
		}
	}
	const clash = first.inputs.find((v) => secondNames.has(v.name));
	if (clash) throw bad("inputs with names of their own", `'${clash.name}' in both`, "rename that input of the first graph");
	const kept = keep.map((name): ValueInfo => {
		const v = first.outputs.find((o) => o.name === name);
		if (!v) throw bad(`an existing output '${name}'`, first.outputs.map((o) => o.name).join(", "), "keep an output that exists");
		return { ...v, name: fixed.get(name) ?? name };
	});
	return {
		name: second.name,
		opset: second.opset,
		domains: { ...first.domains, ...second.domains },
		inputs: [...first.inputs, ...second.inputs.filter((v) => !connected.has(v.name))],
		outputs: [...second.outputs, ...kept],
		initializers: new Map([...renamedFirst.initializers, ...second.initializers]),
		nodes: [...renamedFirst.nodes, ...aliases, ...second.nodes],
	};
}

function names(graph: Graph): Set<string> {
	return new Set([...graph.inputs.map((v) => v.name), ...graph.initializers.keys(), ...graph.nodes.flatMap((n) => [n.name, ...n.outputs])]);
}
