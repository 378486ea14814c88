/** @file Vector-Jacobian products: from a graph to the graph that also returns its gradient. */
import { KintsugiError } from "../errors.ts";
import { graphBuilder } from "../onnx/builder.ts";
import { constantNumbers, isFloat } from "../onnx/elements.ts";
import type { Graph, Node, ValueInfo } from "../onnx/graph.ts";
import type { StaticGraph } from "../onnx/infer.ts";
import { describe } from "../onnx/topology.ts";
import { UPGRADED_OPSET } from "../onnx/upgrade.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { findComposites, type Surroundings } from "./composites.ts";
import { nodeContext } from "./context.ts";
import { dimsOf, type Emit, emitter, type Value } from "./emit.ts";
import { findPaths, type Paths } from "./paths.ts";
import type { Rule } from "./rule.ts";
import { operatorKey, REFUSED, RULES } from "./rules/index.ts";

export interface VjpOptions {
	/** Float values that are differentiated. */
	of: readonly string[];
	/** Float values (inputs, or any other) with respect to which. */
	wrt: readonly string[];
	/** By name of `of`: "input" (default) adds the input `cotangent/<of>`; "ones" differentiates the sum of all elements. */
	cotangents?: Readonly<Record<string, "input" | "ones">>;
}

/** Output that holds the gradient with respect to a value. */
export const gradientName = (wrt: string): string => `grad/${wrt}`;

/** Input that holds the cotangent of a value. */
export const cotangentName = (of: string): string => `cotangent/${of}`;

/**
 * The graph with the gradients of `of` with respect to `wrt` as further outputs (`gradientName`), each with the dims of its value.
 * Made of standard operators; weights are shared with the original. Needs a frozen graph. Throws `autodiff` for operators
 * without a rule and for values that do not depend on each other.
 */
export function vjp(graph: StaticGraph, { of, wrt, cotangents = {} }: VjpOptions): Graph {
	if (graph.opset < UPGRADED_OPSET) {
		throw fail(`opset ${UPGRADED_OPSET} or newer`, `opset ${graph.opset}`, "freeze the graph first");
	}
	for (const name of [...of, ...wrt]) checkFloat(graph, name);
	const paths = findPaths(graph, of, wrt);
	const rules = new Map(paths.nodes.map((node) => [node, ruleOf(node, paths)]));

	const builder = graphBuilder({ extend: graph, prefix: "grad/" });
	for (const name of new Set(wrt)) {
		const taken = builder.fresh(name) !== gradientName(name);
		if (taken)
			throw fail(`no value '${gradientName(name)}' yet`, "one", "rename it, or differentiate the graph that this one was made from");
	}
	const e = emitter(builder);
	const value = (name: string): Value => lookUp(graph, name);
	const pending = new Map<string, Value[]>();
	const contribute = (name: string, v: Value) => pending.set(name, [...(pending.get(name) ?? []), v]);
	const gradient = (name: string): Value | undefined => {
		const parts = pending.get(name);
		return parts && e.sumAll(parts);
	};

	for (const name of of) {
		const { type, dims } = value(name);
		if (cotangents[name] === "ones") contribute(name, e.full(1, type, dims));
		else contribute(name, { name: builder.input(cotangentName(name), type, dims), type, dims });
	}
	const gradients = new Map<string, Value | undefined>();
	const changed = new Map<Node, Node>();
	const isActive = (name: string) => paths.active.has(name);
	const composites = findComposites(paths.nodes, surroundings({ graph, paths, of, wrt, value }));
	const insideComposites = new Set([...composites.values()].flatMap(({ inner }) => inner));
	for (const node of [...paths.nodes].reverse()) {
		if (insideComposites.has(node)) continue;
		const dys = node.outputs.map((name) => {
			const sum = gradient(name);
			// Values asked for by name keep their sum: a later pass must not add it up again.
			if (sum) pending.set(name, [sum]);
			return sum;
		});
		const rule = rules.get(node);
		const first = dys.find((dy) => dy !== undefined);
		if (!rule || !first) continue;
		const composite = composites.get(node);
		if (composite) {
			for (const [name, result] of composite.vjp(e, first)) contribute(name, settle(e, node, name, result, value(name)));
			continue;
		}
		const needs = (i: number) => isActive(node.inputs[i]) && !rule.stop?.includes(i) && isFloat(value(node.inputs[i]).type);
		const { context, finish } = nodeContext({ node, graph, e, needs, value, fresh: builder.fresh, constant: constantOf(graph) });
		const results = rule.vjp(context, dys[0] ?? e.full(0, value(node.outputs[0]).type, value(node.outputs[0]).dims), dys);
		node.inputs.forEach((name, i) => {
			if (!needs(i)) return;
			const result = results[i];
			if (!result) throw context.unsupported(`the gradient of its input ${i}`, "differentiate with respect to another input");
			contribute(name, settle(e, node, name, result, value(name)));
		});
		const forward = finish();
		if (forward !== node) changed.set(node, forward);
	}
	for (const name of wrt) {
		const sum = gradient(name);
		if (!sum) throw unreachable(of, name, paths);
		gradients.set(name, sum);
	}
	return withOutputs(builder.build(), gradients, changed);
}

function withOutputs(built: Graph, gradients: ReadonlyMap<string, Value | undefined>, changed: ReadonlyMap<Node, Node>): Graph {
	const outputs: ValueInfo[] = [...built.outputs];
	const nodes = built.nodes.map((node) => changed.get(node) ?? node);
	for (const [name, v] of gradients) {
		if (!v) continue;
		const output = gradientName(name);
		nodes.push({ op: "Identity", domain: "", name: output, inputs: [v.name], outputs: [output], attributes: {} });
		outputs.push({ name: output, type: v.type, dims: v.dims });
	}
	return { ...built, nodes, outputs };
}

interface SurroundingsParts extends Pick<VjpOptions, "of" | "wrt"> {
	graph: Graph;
	paths: Paths;
	value: (name: string) => Value;
}

function surroundings({ graph, paths, of, wrt, value }: SurroundingsParts): Surroundings {
	const makers = new Map(paths.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
	const readers = new Map<string, number>();
	for (const name of paths.nodes.flatMap((node) => node.inputs)) readers.set(name, (readers.get(name) ?? 0) + 1);
	const asked = new Set([...of, ...wrt]);
	const constant = constantOf(graph);
	return {
		value,
		number(name) {
			const known = sizeOf(graph.initializers.get(name)?.dims ?? [0]) === 1 ? constant(name) : undefined;
			return known?.[0];
		},
		inner: (name) => (readers.get(name) === 1 && !asked.has(name) ? makers.get(name) : undefined),
		active: (name) => paths.active.has(name),
	};
}

/** Sums a cotangent down to its input's dims and checks its type. */
function settle(e: Emit, node: Node, name: string, cotangent: Value, input: Value): Value {
	if (cotangent.type !== input.type) {
		throw new KintsugiError("autodiff", {
			where: `the rule of ${describe(node)}, input '${name}'`,
			expected: dimsOf(input),
			found: dimsOf(cotangent),
			fix: "report this: a rule of src/autodiff is wrong",
		});
	}
	return e.sumTo(cotangent, input.dims);
}

function ruleOf(node: Node, paths: Paths): Rule {
	const rule = RULES.get(operatorKey(node.op, node.domain));
	if (rule) return rule;
	throw refusal(node, paths);
}

function refusal(node: Node, paths: Paths): KintsugiError {
	const key = operatorKey(node.op, node.domain);
	const refused = REFUSED.get(key);
	return new KintsugiError("autodiff", {
		where: describe(node),
		expected: refused ? "differentiable operators" : `a rule for ${key}`,
		found: `${refused ? refused.why : "none"} (path: ${paths.through(node)})`,
		fix:
			refused?.fix ?? "differentiate another output, or export the model without this operator (docs/autodiff.md lists those with rules)",
	});
}

const fail = (expected: string, found: string, fix: string) => new KintsugiError("autodiff", { where: "vjp", expected, found, fix });

function lookUp(graph: StaticGraph, name: string): Value {
	const known = graph.values.get(name);
	const dynamic = graph.dynamic.get(name);
	if (dynamic) {
		throw fail("dims that are known before the graph runs", `'${name}' [${dynamic.dims.join(", ")}]`, "differentiate an earlier output");
	}
	if (!known)
		throw fail("a value of the graph", `'${name}'`, `name one of its inputs or outputs (${graph.outputs.map((v) => v.name).join(", ")})`);
	return { name, ...known };
}

function checkFloat(graph: StaticGraph, name: string): void {
	const { type } = lookUp(graph, name);
	if (!isFloat(type)) throw fail("float values", `'${name}' of type ${type}`, "differentiate float values only");
}

function unreachable(of: readonly string[], wrt: string, paths: Paths): KintsugiError {
	const refused = paths.ends.find((node) => REFUSED.has(operatorKey(node.op, node.domain)));
	if (refused) return refusal(refused, paths);
	const ends = [...new Set(paths.ends.map((node) => node.op))].slice(0, 5);
	const why = ends.length > 0 ? `; paths from it end at ${ends.join(", ")}` : "";
	return fail(`${of.join(", ")} to depend on '${wrt}'`, `no differentiable path${why}`, "check the names");
}

const constantOf = (graph: Graph) => (name: string) => {
	const known = graph.initializers.get(name);
	return known && constantNumbers(known);
};
