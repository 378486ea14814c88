/** @file Slopes of activations in as few passes over memory as the standard operators allow. */
import type { Emit, Value } from "./emit.ts";

/** clip(alpha x + beta, 0, 1) in one pass; ONNX Runtime also keeps it in the blocked layout of its convolutions, unlike Sub, Greater or Where. */
const clippedLine = (e: Emit, x: Value, alpha: number, beta: number): Value =>
	e.op("HardSigmoid", [x], x.dims, { attributes: { alpha: { float: alpha }, beta: { float: beta } } });

/** ONNX Runtime implements HardSigmoid for float32 only. */
const hasClippedLine = (x: Value) => x.type === "float";

/** 1 where y > 0, else 0, for y >= 0 (a line so steep that it is a step from 1e-38 on). */
export const step = (e: Emit, y: Value): Value =>
	hasClippedLine(y) ? clippedLine(e, y, 3e38, 0) : e.cast(e.binary("Greater", y, 0, "bool"), y.type);

/** 1 - s for s in [0, 1] */
const oneMinus = (e: Emit, s: Value): Value => (hasClippedLine(s) ? clippedLine(e, s, -1, 1) : e.sub(1, s));

/** s (1 - s), of s = sigmoid(x) */
export const sigmoidSlope = (e: Emit, s: Value): Value => e.mul(s, oneMinus(e, s));

/** s + a y (1 - s), of y = x s with s = sigmoid(a x) */
export function swishSlope(e: Emit, y: Value, s: Value, a: number): Value {
	const rest = e.mul(y, oneMinus(e, s));
	return e.add(s, a === 1 ? rest : e.mul(rest, a));
}

/** Phi(x) + x phi(x), with the distribution and the density of the standard normal. */
export function geluSlope(e: Emit, x: Value): Value {
	const u = e.mul(x, Math.SQRT1_2);
	const erf = e.unary("Erf", u);
	const distribution = hasClippedLine(x) ? clippedLine(e, erf, 0.5, 0.5) : e.add(e.mul(erf, 0.5), 0.5);
	const density = e.unary("Exp", e.sub(-0.5 * Math.log(2 * Math.PI), e.mul(u, u)));
	return e.add(distribution, e.mul(x, density));
}
