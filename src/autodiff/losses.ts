/** @file Losses of a classifier as graph nodes, so that loss, logits and gradient come from one run (design D6). */
import { KintsugiError } from "../errors.ts";
import { floatTensor, graphBuilder } from "../onnx/builder.ts";
import { rename } from "../onnx/compose.ts";
import type { Graph } from "../onnx/graph.ts";
import type { StaticGraph, StaticValue } from "../onnx/infer.ts";
import { type Emit, emitter, type Value } from "./emit.ts";
import { gradientName, vjp } from "./vjp.ts";

/** Losses of one image from logits `[N, K]` and targets `[N, K]`; defined at `LossName` of src/models/classifier.ts. */
export type Loss = "cross-entropy" | "set-cross-entropy" | "bce" | "margin" | "set-margin" | "ranking" | "linear" | "dlr" | "dlr-targeted";

export interface LossOptions {
	/** Output `[N, K]`. */
	logits: string;
	loss: Loss;
	/** `[K]`, subtracted from the logits before "bce" (default 0). */
	thresholds?: Float32Array;
	/** Labels that are returned: k of "ranking" (default `TOP_K`). */
	k?: number;
}

interface LossInputs {
	e: Emit;
	z: Value;
	targets: Value;
	thresholds: Float32Array | undefined;
	k: number;
}

/** k of "ranking" where none is given. */
export const TOP_K = 3;

/** Stands for infinity: the infinite bound itself would make 0 * inf in the gradient. */
const FAR = 1e30;

const sumLabels = (e: Emit, x: Value) => e.reshape(e.reduce("ReduceSum", x, [1]), [x.dims[0]]);

/** The largest logit where `mask` holds, `[N, 1]`. */
const highest = (e: Emit, z: Value, mask: Value) => e.reduce("ReduceMax", e.where(mask, z, e.scalar(-FAR, z.type)), [1]);

const wanted = (e: Emit, z: Value, targets: Value) => highest(e, z, e.binary("Greater", targets, 0.5, "bool"));
const unwanted = (e: Emit, z: Value, targets: Value) => highest(e, z, e.binary("Less", targets, 0.5, "bool"));

const LOSSES: Record<Loss, (inputs: LossInputs) => Value> = {
	// -sum_k t_k log softmax(z)_k
	"cross-entropy": ({ e, z, targets }) =>
		e.unary("Neg", sumLabels(e, e.mul(targets, e.op("LogSoftmax", [z], z.dims, { attributes: { axis: 1 } })))),
	// -log sum_{t = 1} softmax(z)_k
	"set-cross-entropy"({ e, z, targets }) {
		const log = e.op("LogSoftmax", [z], z.dims, { attributes: { axis: 1 } });
		const wanted = e.where(e.binary("Greater", targets, 0.5, "bool"), log, -FAR);
		return e.reshape(e.unary("Neg", e.reduce("ReduceLogSumExp", wanted, [1])), [z.dims[0]]);
	},
	// with u = z - threshold: sum_k softplus(u_k) - t_k u_k
	bce({ e, z, targets, thresholds }) {
		const u = thresholds ? e.sub(z, e.constant(floatTensor(thresholds, [1, thresholds.length]))) : z;
		return sumLabels(e, e.sub(e.unary("Softplus", u), e.mul(targets, u)));
	},
	// max over t = 0 of z, minus min over t = 1 of z
	margin({ e, z, targets }) {
		const wanted = e.binary("Greater", targets, 0.5, "bool");
		const best = e.reduce("ReduceMax", e.where(wanted, e.scalar(-FAR, z.type), z), [1]);
		const worst = e.reduce("ReduceMin", e.where(wanted, z, FAR), [1]);
		return e.reshape(e.sub(best, worst), [z.dims[0]]);
	},
	"set-margin": ({ e, z, targets }) => e.reshape(e.sub(unwanted(e, z, targets), wanted(e, z, targets)), [z.dims[0]]),
	// k-th largest over t = 0 of z (or the smallest of fewer than k), minus max over t = 1 of z
	ranking({ e, z, targets, k }) {
		const count = Math.min(k, z.dims[1]);
		const others = e.where(e.binary("Less", targets, 0.5, "bool"), z, e.scalar(-FAR, z.type));
		const first = e.op("TopK", [others, e.ints([count])], [z.dims[0], count], { attributes: { axis: 1 } });
		const last = e.reduce("ReduceMin", e.where(e.binary("Greater", first, -FAR / 2, "bool"), first, FAR), [1]);
		return e.reshape(e.sub(last, wanted(e, z, targets)), [z.dims[0]]);
	},
	linear: ({ e, z, targets }) => sumLabels(e, e.mul(targets, z)),
	dlr({ e, z, targets }) {
		const [first, , third] = largest(e, z, 3);
		return ratio(e, e.sub(unwanted(e, z, targets), wanted(e, z, targets)), e.sub(first, third));
	},
	"dlr-targeted"({ e, z, targets }) {
		const [first, , third, fourth] = largest(e, z, 4);
		const rival = highest(e, z, e.binary("Less", targets, -0.5, "bool"));
		return ratio(e, e.sub(rival, wanted(e, z, targets)), e.sub(first, e.mul(e.add(third, fourth), 0.5)));
	},
};

/** The n largest logits, each `[N, 1]`. */
function largest(e: Emit, z: Value, n: number): Value[] {
	const labels = z.dims[1];
	if (labels < n) {
		throw new KintsugiError("shape", {
			where: "difference of logits ratio",
			expected: `at least ${n} labels`,
			found: `${labels}`,
			fix: "use the cross-entropy, which needs no ratio",
		});
	}
	const sorted = e.op("TopK", [z, e.ints([n])], [z.dims[0], n], { attributes: { axis: 1 } });
	return Array.from({ length: n }, (_, i) => e.slice(sorted, [i], [i + 1], [1]));
}

/** AutoAttack's guard against equal logits. */
const ratio = (e: Emit, a: Value, b: Value) => e.reshape(e.div(a, e.add(b, 1e-12)), [a.dims[0]]);

/** The graph with the float input `targets` `[N, K]` and the output `loss` `[N]` (names that it must not use itself). Throws `shape` unless logits are `[N, K]`. */
export function appendLoss(graph: StaticGraph, { logits, loss, thresholds, k = TOP_K }: LossOptions): StaticGraph {
	const value = graph.values.get(logits);
	const labels = value?.dims[1];
	if (value?.dims.length !== 2 || value.type !== "float" || (thresholds && thresholds.length !== labels)) {
		throw new KintsugiError("shape", {
			where: `logits '${logits}'`,
			expected: thresholds ? `float [N, ${thresholds.length}] (one threshold a label)` : "float [N, K]",
			found: value ? `${value.type} [${value.dims.join(", ")}]` : "no such value",
			fix: "name the classifier's logits",
		});
	}
	const builder = graphBuilder({ extend: graph, prefix: "loss/" });
	const made = new Map<string, StaticValue>(graph.values);
	const e = emitter(builder, made);
	const targets = { name: builder.input("targets", "float", value.dims), ...value };
	made.set("targets", value);
	const result = LOSSES[loss]({ e, z: { name: logits, ...value }, targets, thresholds, k });
	const built = builder.build();
	return {
		...built,
		dynamic: graph.dynamic,
		nodes: [...built.nodes, { op: "Identity", domain: "", name: "loss", inputs: [result.name], outputs: ["loss"], attributes: {} }],
		outputs: [...built.outputs, { name: "loss", type: result.type, dims: result.dims }],
		values: made.set("loss", { type: result.type, dims: result.dims }),
	};
}

export interface LossGradientOptions extends LossOptions {
	/** Float input with respect to which. */
	input: string;
}

/**
 * A graph with inputs of `graph` plus `targets` `[N, K]` and outputs `loss` `[N]`, `logits` `[N, K]` and `gradient` (dims of `input`):
 * the gradient of the sum of the losses, so each image's own. One run an attack step.
 */
export function lossGradientGraph(graph: StaticGraph, { input, logits, ...options }: LossGradientOptions): Graph {
	const { clear, to } = withFreeNames(graph, ["targets", "loss", "gradient", ...(logits === "logits" ? [] : ["logits"])]);
	const only = { ...clear, outputs: clear.outputs.filter((v) => v.name === to(logits)) };
	const whole = vjp(appendLoss(only, { ...options, logits: to(logits) }), { of: ["loss"], wrt: [input], cotangents: { loss: "ones" } });
	const outputs = [
		{ name: "loss", source: "loss", dims: lookUp(graph, logits).dims.slice(0, 1) },
		{ name: "logits", source: to(logits), dims: lookUp(graph, logits).dims },
		{ name: "gradient", source: gradientName(input), dims: lookUp(graph, input).dims },
	];
	const aliases = outputs.filter(({ name, source }) => name !== source);
	return {
		...whole,
		nodes: [
			...whole.nodes,
			...aliases.map(({ name, source }) => ({ op: "Identity", domain: "", name, inputs: [source], outputs: [name], attributes: {} })),
		],
		outputs: outputs.map(({ name, dims }) => ({ name, type: "float", dims })),
	};
}

function lookUp(graph: StaticGraph, name: string): StaticValue {
	const found = graph.values.get(name);
	if (found) return found;
	throw new KintsugiError("autodiff", {
		where: "loss gradient",
		expected: "a value of the graph",
		found: `'${name}'`,
		fix: `name one of ${graph.inputs.map((v) => v.name).join(", ")}`,
	});
}

/** Renames inner values that stand in the way of the names this file promises. */
function withFreeNames(graph: StaticGraph, reserved: readonly string[]): { clear: StaticGraph; to: (name: string) => string } {
	const input = graph.inputs.find((v) => reserved.includes(v.name));
	if (input) {
		throw new KintsugiError("autodiff", {
			where: "loss gradient",
			expected: `inputs with other names than ${reserved.join(", ")}`,
			found: `'${input.name}'`,
			fix: "rename that input",
		});
	}
	const to = (name: string) => (reserved.includes(name) ? `model/${name}` : name);
	const values = new Map([...graph.values].map(([name, v]) => [to(name), v]));
	return { clear: { ...rename(graph, to), values, dynamic: graph.dynamic }, to };
}
