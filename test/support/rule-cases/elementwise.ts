/** @file Cases of arithmetic, element by element. */
import fc from "fast-check";
import { random } from "../../../src/tensor/random.ts";
import { sizeOf, tensor } from "../../../src/tensor/tensor.ts";
import { type Operand, type RuleCase, x } from "../check-rule.ts";
import { between, broadcastable, dims, each, type RuleCases, range, scalar, seed } from "./arbitraries.ts";

/** Where a function is smooth and not steep. */
const DOMAINS: Record<string, [low: number, high: number]> = {
	Exp: [-2, 2],
	Log: [0.3, 4],
	Sqrt: [0.3, 4],
	Reciprocal: [0.5, 3],
	Sin: [-4, 4],
	Cos: [-4, 4],
	Tan: [-1.1, 1.1],
	Asin: [-0.8, 0.8],
	Acos: [-0.8, 0.8],
	Atan: [-3, 3],
	Sinh: [-2, 2],
	Cosh: [-2, 2],
	Asinh: [-3, 3],
	Acosh: [1.3, 5],
	Atanh: [-0.8, 0.8],
	Erf: [-2, 2],
};

const unary = (op: string): fc.Arbitrary<RuleCase> =>
	fc.tuple(dims(0, 4), seed).map(([d, s]) => ({ op, inputs: [between(...DOMAINS[op], d, s)] }));

const linear = (op: string): fc.Arbitrary<RuleCase> =>
	fc.tuple(dims(0, 4), seed).map(([d, s]) => ({ op, inputs: [x(...d)], linear: true, seed: s }));

/** Values of input `i` that no other input has: a fortieth apart at least. */
function apart(i: number, shape: readonly number[], key: number): Operand {
	const { int } = random("apart", key, i);
	return {
		at: tensor(
			Float32Array.from({ length: sizeOf(shape) }, () => (int(40) - 20) / 10 + i / 40),
			shape,
		),
	};
}

const several = (op: string, isLinear: boolean): fc.Arbitrary<RuleCase> =>
	range(1, 4)
		.chain((n) => fc.tuple(broadcastable(n), seed))
		.map(([shapes, s]) => ({ op, inputs: shapes.map((d, i) => apart(i, d, s)), linear: isLinear, seed: s }));

const pair = (
	op: string,
	make: (a: number[], b: number[], key: number) => Partial<RuleCase> & Pick<RuleCase, "inputs">,
): fc.Arbitrary<RuleCase> => fc.tuple(broadcastable(2), seed).map(([[a, b], s]) => ({ op, seed: s, ...make(a, b, s) }));

const mask = (shape: readonly number[], key: number): Operand => ({
	constant: tensor(Uint8Array.from(random("mask", key).uniforms(sizeOf(shape)), Math.round), shape, "bool"),
});

/** A numerator whose quotient by `divisor` is at least a fifth away from every whole number, where Mod jumps. */
function numerator(divisor: Float32Array, shape: readonly number[], key: number): Operand {
	const { int, uniforms } = random("numerator", key);
	const parts = uniforms(divisor.length, 0.2, 0.8);
	return {
		at: tensor(
			divisor.map((d, i) => d * (int(7) - 3 + parts[i])),
			shape,
		),
	};
}

export const elementwise: RuleCases = {
	...each(Object.keys(DOMAINS), unary),
	...each(["Identity", "Neg", "Dropout"], linear),
	...each(["Sum", "Mean"], (op) => several(op, true)),
	...each(["Max", "Min"], (op) => several(op, false)),
	...each(["Add", "Sub", "Mul"], (op) => pair(op, (a, b) => ({ inputs: [x(...a), x(...b)], linear: true }))),
	Abs: fc.tuple(dims(0, 3), seed).map(([d, s]) => ({ op: "Abs", inputs: [x(...d)], sample: "distinct", seed: s })),
	Div: pair("Div", (a, b, s) => ({ inputs: [x(...a), between(0.6, 3, b, s)] })),
	Pow: fc.oneof(
		// Not just below 1, where the logarithm of jax-js is off by 1e-5.
		pair("Pow", (a, b, s) => ({ inputs: [s % 2 ? between(0.5, 0.8, a, s) : between(1, 2.5, a, s), between(-2, 2, b, s + 1)] })),
		fc
			.tuple(dims(0, 3), fc.constantFrom(2, 3, 0.5, 1, -1, 0, 1.7), seed)
			.map(([d, p, s]) => ({ op: "Pow", inputs: [between(0.5, 2, d, s), scalar(p)] })),
	),
	Mod: fc.tuple(dims(1, 3), seed).map(([d, s]) => {
		const divisor = random("divisor", s).uniforms(sizeOf(d), 0.5, 2);
		return { op: "Mod", inputs: [numerator(divisor, d, s), { at: tensor(divisor, d) }], attributes: { fmod: 1 } };
	}),
	Where: fc
		.tuple(broadcastable(3), seed)
		.map(([[c, a, b], s]) => ({ op: "Where", inputs: [mask(c, s), x(...a), x(...b)], linear: true, seed: s })),
	Clip: fc
		.tuple(dims(0, 3), fc.constantFrom("none", "constant", "differentiated"), fc.constantFrom("none", "constant", "differentiated"), seed)
		.map(([d, low, high, s]) => {
			const bound = (kind: string, value: number): Operand =>
				kind === "none" ? undefined : kind === "constant" ? scalar(value) : { at: tensor(Float32Array.of(value), []) };
			return { op: "Clip", inputs: [x(...d), bound(low, -0.52), bound(high, 0.71)], sample: "distinct", seed: s };
		}),
	Cast: linear("Cast").map((c) => ({ ...c, attributes: { to: 1 } })),
};
