/** @file What an operator written in jax-js sees of its case, and its gradients by jax-js. */
import { defaultDevice, init, numpy as np, vjp } from "@jax-js/jax";
import type { Attribute } from "../../../src/onnx/index.ts";
import { type DType, type Tensor, tensor } from "../../../src/tensor/tensor.ts";
import type { RuleCase } from "../check-rule.ts";

export interface JaxContext {
	/** Input i; jax-js frees an array where it is used, so that every use asks for it again. */
	x(i?: number): np.Array;
	has(i: number): boolean;
	/** How many inputs the case has. */
	count: number;
	dims(i?: number): number[];
	/** Which output is differentiated. */
	of: number;
	/** Dims of the output, where the operator only arranges elements. */
	out: readonly number[];
	/** Numbers of an input that is a list of integers. */
	list(i: number): number[];
	int(name: string, fallback: number): number;
	ints(name: string, fallback: readonly number[]): number[];
	float(name: string, fallback: number): number;
	text(name: string, fallback: string): string;
}

export type JaxOperator = (c: JaxContext) => np.Array;

export const array = (data: ArrayLike<number>, dims: readonly number[]): np.Array =>
	np.array(Float32Array.from(data), { shape: [...dims] });

export const integers = (data: readonly number[], dims: readonly number[] = [data.length]): np.Array =>
	np.array(Int32Array.from(data), { shape: [...dims], dtype: np.int32 });

/** 0, 1, ..., n - 1 */
export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const constant = ({ data, dims, dtype }: Tensor<DType>): np.Array => {
	const values = array(Array.from(data as ArrayLike<number>), dims);
	return dtype === "bool" ? np.notEqual(values, 0) : values;
};

function contextOf(c: RuleCase, inputs: ReadonlyMap<number, np.Array>, out: readonly number[]): JaxContext {
	const attribute = (name: string): Attribute | undefined => {
		const value = c.attributes?.[name];
		if (typeof value === "number") return { int: BigInt(value) };
		if (typeof value === "string") return { string: value };
		return Array.isArray(value) ? { ints: value.map(BigInt) } : (value as Attribute | undefined);
	};
	const input = (i: number): np.Array => {
		const found = inputs.get(i);
		if (found) return found.ref;
		const operand = c.inputs[i];
		if (operand && "constant" in operand) return constant(operand.constant);
		throw new Error(`${c.op} has no array ${i}`);
	};
	return {
		x: (i = 0) => input(i),
		has: (i) => c.inputs[i] !== undefined,
		count: c.inputs.length,
		of: c.of ?? 0,
		dims: (i = 0) => input(i).shape,
		out,
		list(i) {
			const operand = c.inputs[i];
			if (operand && "ints" in operand) return [...operand.ints];
			throw new Error(`${c.op} has no list ${i}`);
		},
		int(name, fallback) {
			const a = attribute(name);
			return a && "int" in a ? Number(a.int) : fallback;
		},
		ints(name, fallback) {
			const a = attribute(name);
			return a && "ints" in a ? a.ints.map(Number) : [...fallback];
		},
		float(name, fallback) {
			const a = attribute(name);
			return a && "float" in a ? a.float : fallback;
		},
		text(name, fallback) {
			const a = attribute(name);
			return a && "string" in a ? a.string : fallback;
		},
	};
}

export interface JaxResult {
	y: Tensor;
	/** By input: x0, x1, ... */
	gradients: Record<string, Tensor>;
}

const toTensor = async (a: np.Array): Promise<Tensor> => {
	const dims = a.shape;
	return tensor(Float32Array.from((await a.data()) as Float32Array), dims);
};

/** The operator and its vector-Jacobian products with `cotangent`, at `feeds` (x0, x1, ...). */
export async function runJax(
	operator: JaxOperator,
	c: RuleCase,
	feeds: Readonly<Record<string, Tensor>>,
	cotangent: Tensor,
): Promise<JaxResult> {
	await init("cpu", "wasm");
	defaultDevice("wasm");
	const names = Object.keys(feeds);
	const numbers = names.map((name) => Number(name.slice(1)));
	const primals = names.map((name) => array(feeds[name].data, feeds[name].dims));
	const f = (...xs: np.Array[]) => operator(contextOf(c, new Map(xs.map((x, i) => [numbers[i], x])), cotangent.dims));
	const [y, pull] = vjp(f, primals);
	const gradients = pull(array(cotangent.data, cotangent.dims)) as np.Array[];
	const entries = await Promise.all(names.map(async (name, i) => [name, await toTensor(gradients[i])] as const));
	return { y: await toTensor(y), gradients: Object.fromEntries(entries) };
}
