/**
 * @file Compositions whose joint derivative costs less than the chain rule over their operators: fewer passes over memory,
 * and the forward part stays in the form that ONNX Runtime fuses.
 */
import type { Node } from "../onnx/graph.ts";
import { type Emit, sameDims, type Value } from "./emit.ts";
import { geluSlope, swishSlope } from "./slopes.ts";

/** A group of nodes that is differentiated as one. */
export interface Composite {
	/** The node that makes the group's output. */
	end: Node;
	/** The other nodes; nothing outside the group reads what they make. */
	inner: readonly Node[];
	/** Cotangents by the name of the value they belong to. */
	vjp(e: Emit, dy: Value): readonly (readonly [string, Value])[];
}

/** What a pattern may ask about the graph around a node. */
export interface Surroundings {
	value(name: string): Value;
	/** The number that a constant consists of, if it is the only one. */
	number(name: string): number | undefined;
	/** The node that makes a value which nothing but the group reads: of which no other node, output or gradient knows. */
	inner(name: string): Node | undefined;
	/** True if cotangents of this value are wanted. */
	active(name: string): boolean;
}

type Pattern = (end: Node, around: Surroundings) => Composite | undefined;

const isOp = (node: Node | undefined, op: string): node is Node => node?.op === op && node.domain === "";

interface Product {
	factors: string[];
	constant: number;
	inner: Node[];
}

/** The factors of a product written as nested Mul nodes; constant factors are multiplied out. */
function product(end: Node, around: Surroundings): Product {
	const found: Product = { factors: [], constant: 1, inner: [] };
	const visit = (node: Node) => {
		for (const name of node.inputs) {
			const number = around.number(name);
			const maker = around.inner(name);
			if (number !== undefined) found.constant *= number;
			else if (isOp(maker, "Mul")) {
				found.inner.push(maker);
				visit(maker);
			} else found.factors.push(name);
		}
	};
	visit(end);
	return found;
}

/** `name` written as a multiple of `of`: the factor and the node that multiplies, if there is one. */
function multipleOf(name: string, of: string, around: Surroundings): { factor: number; node?: Node } | undefined {
	if (name === of) return { factor: 1 };
	const node = around.inner(name);
	if (!isOp(node, "Mul") && !isOp(node, "Div")) return undefined;
	const [a, b] = node.inputs;
	const [left, right] = [around.number(a), around.number(b)];
	if (a === of && right !== undefined) return { factor: node.op === "Mul" ? right : 1 / right, node };
	return node.op === "Mul" && b === of && left !== undefined ? { factor: left, node } : undefined;
}

const swish: Pattern = (end, around) => {
	const { factors, constant, inner } = product(end, around);
	if (factors.length !== 2 || constant !== 1 || inner.length > 0) return undefined;
	for (const [x, gate] of [factors, [...factors].reverse()]) {
		const sigmoid = around.inner(gate);
		if (!isOp(sigmoid, "Sigmoid")) continue;
		const scaled = multipleOf(sigmoid.inputs[0], x, around);
		const [y, s] = [around.value(end.outputs[0]), around.value(gate)];
		if (!scaled || !sameDims(s.dims, around.value(x).dims)) continue;
		return {
			end,
			inner: scaled.node ? [sigmoid, scaled.node] : [sigmoid],
			vjp: (e, dy) => [[x, e.mul(dy, swishSlope(e, y, s, scaled.factor))]],
		};
	}
	return undefined;
};

/** x 0.5 (1 + erf(x / sqrt 2)), as exporters write Gelu before opset 20. */
const gelu: Pattern = (end, around) => {
	const { factors, constant, inner } = product(end, around);
	if (factors.length !== 2 || constant !== 0.5) return undefined;
	for (const [x, shifted] of [factors, [...factors].reverse()]) {
		const add = around.inner(shifted);
		if (!isOp(add, "Add")) continue;
		const [term, one] = around.number(add.inputs[1]) === 1 ? add.inputs : [...add.inputs].reverse();
		const erf = around.inner(term);
		if (around.number(one) !== 1 || !isOp(erf, "Erf")) continue;
		const scaled = multipleOf(erf.inputs[0], x, around);
		if (!scaled?.node || Math.abs(scaled.factor - Math.SQRT1_2) > 1e-6) continue;
		if (!sameDims(around.value(x).dims, around.value(end.outputs[0]).dims)) continue;
		return { end, inner: [...inner, add, erf, scaled.node], vjp: (e, dy) => [[x, e.mul(dy, geluSlope(e, around.value(x)))]] };
	}
	return undefined;
};

const swapLast = (x: Value) => x.dims.map((_, i, { length }) => (i < length - 2 ? i : 2 * length - 3 - i));

/**
 * Attention, O = P V with P = Softmax(S). The sum in the derivative of Softmax, sum_j dP_ij P_ij, equals sum_k dO_ik O_ik:
 * one over the head's width instead of one over all keys (Dao et al., FlashAttention, appendix B.2).
 */
const attention: Pattern = (end, around) => {
	if (!isOp(end, "MatMul")) return undefined;
	const softmax = around.inner(end.inputs[0]);
	if (!isOp(softmax, "Softmax") || !around.active(softmax.inputs[0])) return undefined;
	const [p, v, o] = [around.value(end.inputs[0]), around.value(end.inputs[1]), around.value(end.outputs[0])];
	const axis = softmax.attributes.axis;
	const last = axis === undefined || ("int" in axis && (axis.int === -1n || axis.int === BigInt(p.dims.length - 1)));
	const batch = (x: Value) => x.dims.slice(0, -2).join();
	if (!last || p.dims.length < 2 || batch(p) !== batch(v) || p.dims.length !== v.dims.length) return undefined;
	return {
		end,
		inner: [softmax],
		vjp(e, dy) {
			const width = o.dims.length - 1;
			const shared = e.reduce("ReduceSum", e.mul(dy, o), [width]);
			const ones = e.full(-1, v.type, [...v.dims.slice(0, -1), 1]);
			const centred = e.matmul(e.concat([dy, shared], width), e.transpose(e.concat([v, ones], width), swapLast(v)));
			const ds = [softmax.inputs[0], e.mul(p, centred)] as const;
			return around.active(v.name) ? [ds, [v.name, e.matmul(e.transpose(p, swapLast(p)), dy)]] : [ds];
		},
	};
};

const PATTERNS: readonly Pattern[] = [swish, gelu, attention];

/** The composites among these nodes, by the node that ends them; no node is in two. */
export function findComposites(nodes: readonly Node[], around: Surroundings): ReadonlyMap<Node, Composite> {
	const found = new Map<Node, Composite>();
	const taken = new Set<Node>();
	for (const node of [...nodes].reverse()) {
		if (taken.has(node) || (node.op !== "Mul" && node.op !== "MatMul") || node.domain !== "") continue;
		for (const pattern of PATTERNS) {
			const composite = pattern(node, around);
			if (!composite || composite.inner.some((n) => taken.has(n))) continue;
			found.set(node, composite);
			for (const n of [node, ...composite.inner]) taken.add(n);
			break;
		}
	}
	return found;
}
