/** @file From a model to its gradient graph in one call: which outputs, which inputs, which dims. */
import { KintsugiError } from "../errors.ts";
import { isFloat } from "../onnx/elements.ts";
import { type FreezeOptions, freeze } from "../onnx/freeze.ts";
import type { Graph, ValueInfo } from "../onnx/graph.ts";
import { prune } from "../onnx/prune.ts";
import { resolveDims, withDims } from "../onnx/resolve-dims.ts";
import type { ShapeRuntime } from "../onnx/shape-runtime.ts";
import { readNames } from "../onnx/topology.ts";
import { type Loss, lossGradientGraph } from "./losses.ts";
import { vjp } from "./vjp.ts";

export interface GradientGraphOptions extends Pick<FreezeOptions, "dims"> {
	/** Float outputs (or inner values) that are differentiated; default: the only float output. */
	of?: readonly string[] | undefined;
	/** Float inputs (or inner values) with respect to which; default: the only float input that `of` needs. */
	wrt?: readonly string[] | undefined;
	/** Differentiate this loss of the logits `of` (see `lossGradientGraph`); default: a product with cotangents (see `vjp`). */
	loss?: Loss | undefined;
	/** Called when a stage begins. */
	onStage?: ((stage: "shapes" | "gradient") => void) | undefined;
}

export interface GradientGraph {
	graph: Graph;
	of: readonly string[];
	wrt: readonly string[];
	/** Symbolic first dims that nobody gave: 1. */
	assumed: Readonly<Record<string, number>>;
	/** Nodes of the forward graph, after folding, and those that were added. */
	nodes: { forward: number; backward: number };
}

/**
 * The gradient graph of any model, frozen here. Inputs that `of` does not need are dropped.
 * Throws `value` where the choice of outputs or inputs is not clear, `shape` for dims, and what `vjp` throws.
 */
export async function gradientGraph(model: Graph, options: GradientGraphOptions, runtime: ShapeRuntime): Promise<GradientGraph> {
	const { dims = {}, loss, onStage } = options;
	const of = options.of ?? [onlyFloat("output", model.outputs)];
	const wanted = prune({ ...model, outputs: of.map((name) => outputOf(model, name)) });
	const read = new Set([...wanted.nodes.flatMap(readNames), ...of]);
	const wrt = options.wrt ?? [
		onlyFloat(
			"input",
			model.inputs.filter((v) => read.has(v.name)),
		),
	];
	for (const name of wrt) checkKnown(model, name);
	checkOne(loss, { of, wrt });

	const inputs = wanted.inputs.filter((v) => read.has(v.name) || wrt.includes(v.name));
	const { shapes, assumed } = resolveDims(
		model,
		{ dims },
		inputs.map((v) => v.name),
	);
	onStage?.("shapes");
	// Inner values must be outputs while the graph is folded, or they may be folded away.
	const inner = wrt.filter((name) => !inputs.some((v) => v.name === name) && !of.includes(name));
	const whole = await freeze({ ...wanted, inputs }, { dims: shapes, outputs: [...of, ...inner] }, runtime);
	const frozen = { ...whole, outputs: whole.outputs.filter((v) => of.includes(v.name)) };
	onStage?.("gradient");
	const graph = prune(loss === undefined ? vjp(frozen, { of, wrt }) : lossGradientGraph(frozen, { logits: of[0], input: wrt[0], loss }));
	return { graph, of, wrt, assumed, nodes: { forward: frozen.nodes.length, backward: graph.nodes.length - frozen.nodes.length } };
}

const unclear = (where: string, expected: string, found: string, fix: string) =>
	new KintsugiError("value", { where, expected, found, fix });

const listed = (values: readonly ValueInfo[]) => values.map((v) => `${v.type} ${withDims(v)}`).join("; ") || "none";

function onlyFloat(kind: "output" | "input", values: readonly ValueInfo[]): string {
	const floats = values.filter((v) => isFloat(v.type));
	if (floats.length === 1) return floats[0].name;
	const choice = kind === "output" ? "of (what is differentiated)" : "wrt (with respect to what)";
	throw unclear(choice, `a name, unless there is only one float ${kind}`, listed(floats), "name one or several of these");
}

function outputOf({ outputs, nodes }: Graph, name: string): ValueInfo {
	const declared = outputs.find((v) => v.name === name);
	if (declared) return declared;
	if (nodes.some((node) => node.outputs.includes(name))) return { name, type: "float", dims: [] };
	throw unclear(
		"of (what is differentiated)",
		"an output or another value that a node makes",
		`'${name}'`,
		`name one of ${listed(outputs)}`,
	);
}

function checkKnown({ inputs, nodes }: Graph, name: string): void {
	if (inputs.some((v) => v.name === name) || nodes.some((node) => node.outputs.includes(name))) return;
	const what = "wrt (with respect to what)";
	throw unclear(what, "an input or another value that a node makes", `'${name}'`, `name one of ${listed(inputs)}`);
}

function checkOne(loss: Loss | undefined, { of, wrt }: { of: readonly string[]; wrt: readonly string[] }): void {
	if (loss === undefined || (of.length === 1 && wrt.length === 1)) return;
	const found = `${of.join(", ")} and ${wrt.join(", ")}`;
	throw unclear(`the gradient of ${loss}`, "one output, the logits, and one input", found, "name one of each, or leave the loss out");
}
