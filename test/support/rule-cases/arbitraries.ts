/** @file Shapes, axes and values from which the cases of every rule are drawn. */
import fc from "fast-check";
import { random } from "../../../src/tensor/random.ts";
import { sizeOf, tensor } from "../../../src/tensor/tensor.ts";
import type { Operand, RuleCase } from "../check-rule.ts";

/** Cases of operators, by the keys of `RULES`. */
export type RuleCases = Record<string, fc.Arbitrary<RuleCase>>;

export const range = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
export const flag = fc.constantFrom(0, 1);
export const seed = fc.nat(9999);
export const real = (min: number, max: number): fc.Arbitrary<number> =>
	range(Math.round(min * 20), Math.round(max * 20)).map((n) => n / 20);

/** Dims of a rank between two bounds. */
export const dims = (minRank: number, maxRank: number, largest = 4): fc.Arbitrary<number[]> =>
	fc.array(range(1, largest), { minLength: minRank, maxLength: maxRank });

/** Dims with one of their axes, counted from either end. */
export const dimsAndAxis = (minRank: number, maxRank: number, largest = 4): fc.Arbitrary<[dims: number[], axis: number]> =>
	dims(minRank, maxRank, largest).chain((d) => range(-d.length, d.length - 1).map((axis): [number[], number] => [d, axis]));

/** Shapes that broadcast together: of a common one each drops leading axes and has others of size 1. */
export const broadcastable = (count: number): fc.Arbitrary<number[][]> =>
	dims(0, 4).chain((base) => {
		const shape = fc
			.tuple(fc.nat(base.length), fc.array(fc.boolean(), { minLength: base.length, maxLength: base.length }))
			.map(([dropped, ones]) => base.map((d, i) => (ones[i] ? 1 : d)).slice(dropped));
		const whole = fc.constant(base);
		return fc
			.shuffledSubarray([...Array(count).keys()], { minLength: count })
			.chain((order) => fc.tuple(...order.map((place) => (place === 0 ? whole : shape))));
	});

/** A differentiated input, uniform between two bounds. */
export const between = (low: number, high: number, shape: readonly number[], key: number): Operand => ({
	at: tensor(random("between", key).uniforms(sizeOf(shape), low, high), shape),
});

/** A constant input of standard normals. */
export const normals = (shape: readonly number[], key: number): Operand => ({
	constant: tensor(random("constant", key).normals(sizeOf(shape)), shape),
});

/** A constant input, uniform between two bounds. */
export const uniforms = (low: number, high: number, shape: readonly number[], key: number): Operand => ({
	constant: tensor(random("constant", key).uniforms(sizeOf(shape), low, high), shape),
});

export const scalar = (value: number): Operand => ({ constant: tensor(Float32Array.of(value), []) });

/** Each list element with its cases: `[["Sin", ...], ["Cos", ...]]`. */
export const each = (ops: readonly string[], make: (op: string) => fc.Arbitrary<RuleCase>): RuleCases =>
	Object.fromEntries(ops.map((op) => [op, make(op)]));
