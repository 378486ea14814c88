/** @file Emits nodes whose dims are known, so that every cotangent can be checked while the graph is written. */
import { KintsugiError } from "../errors.ts";
import { type AttributeInput, type GraphBuilder, int64Tensor } from "../onnx/builder.ts";
import { elementCode } from "../onnx/elements.ts";
import type { ConstantTensor, ElementType } from "../onnx/graph.ts";
import type { StaticValue } from "../onnx/infer.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** A value of the graph: its name, type and dims. */
export interface Value {
	readonly name: string;
	readonly type: ElementType;
	readonly dims: readonly number[];
}

type Operand = Value | number;

/** The vocabulary of the rules. Numbers stand for scalars of the other operand's type. */
export interface Emit {
	/** Any operator with one output of the given dims (and the type of the first input). */
	op(op: string, inputs: readonly (Value | undefined)[], dims: readonly number[], options?: OpOptions): Value;
	scalar(value: number, type: ElementType): Value;
	ints(values: readonly number[], dims?: readonly number[]): Value;
	constant(value: ConstantTensor): Value;
	/** A tensor filled with one value. */
	full(value: number, type: ElementType, dims: readonly number[]): Value;
	/** A unary operator: same dims, same type. */
	unary(op: string, x: Value): Value;
	/** A binary operator with broadcasting. */
	binary(op: string, a: Operand, b: Operand, type?: ElementType): Value;
	add(a: Operand, b: Operand): Value;
	sub(a: Operand, b: Operand): Value;
	mul(a: Operand, b: Operand): Value;
	div(a: Operand, b: Operand): Value;
	/** a where the bool value holds, b elsewhere. */
	where(condition: Value, a: Operand, b: Operand): Value;
	/** One sum of values of equal dims: Add for two, which ONNX Runtime can fuse into a convolution, else the n-ary Sum. */
	sumAll(values: readonly Value[]): Value;
	cast(x: Value, type: ElementType): Value;
	reshape(x: Value, dims: readonly number[]): Value;
	transpose(x: Value, perm: readonly number[]): Value;
	expand(x: Value, dims: readonly number[]): Value;
	/** Reduces over axes; dims are kept as 1. */
	reduce(op: string, x: Value, axes: readonly number[]): Value;
	/** The adjoint of broadcasting: sums x until it has these dims. */
	sumTo(x: Value, dims: readonly number[]): Value;
	matmul(a: Value, b: Value): Value;
	/** Elements start, start + step, ... of each axis listed. */
	slice(x: Value, starts: readonly number[], ends: readonly number[], axes: readonly number[], steps?: readonly number[]): Value;
	/** Zero padding before and after every axis; negative amounts cut. */
	pad(x: Value, before: readonly number[], after: readonly number[]): Value;
	concat(values: readonly Value[], axis: number): Value;
}

export interface OpOptions {
	attributes?: Record<string, AttributeInput>;
	type?: ElementType;
	domain?: string;
}

export const sameDims = (a: readonly number[], b: readonly number[]) => a.length === b.length && a.every((d, i) => d === b[i]);

/** Dims of a broadcast pair; throws `autodiff` if they do not fit. */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
	const rank = Math.max(a.length, b.length);
	return Array.from({ length: rank }, (_, i) => {
		const da = a[i - rank + a.length] ?? 1;
		const db = b[i - rank + b.length] ?? 1;
		if (da !== db && da !== 1 && db !== 1) throw mismatch("broadcasting", `dims that fit [${a.join(", ")}]`, `[${b.join(", ")}]`);
		return da === 1 ? db : da;
	});
}

const mismatch = (where: string, expected: string, found: string) =>
	new KintsugiError("autodiff", { where, expected, found, fix: "check that the model runs with these shapes; if it does, report this" });

export const dimsOf = (x: Value): string => `${x.type} [${x.dims.join(", ")}]`;

/** An emitter over a builder; every name it makes carries the builder's prefix. `made` collects the values it makes. */
export function emitter(builder: GraphBuilder, made: Map<string, StaticValue> = new Map()): Emit {
	const record = (v: Value): Value => {
		made.set(v.name, { type: v.type, dims: v.dims });
		return v;
	};
	const op: Emit["op"] = (name, inputs, dims, { attributes = {}, type, domain = "" } = {}) => {
		const result = builder.op(
			name,
			inputs.map((v) => v?.name ?? ""),
			attributes,
			{ domain },
		);
		return record({ name: result, type: type ?? inputs[0]?.type ?? "float", dims });
	};
	const cast: Emit["cast"] = (x, type) => (x.type === type ? x : op("Cast", [x], x.dims, { attributes: { to: elementCode(type) }, type }));
	// A scalar of another type is a Cast of a float constant; ONNX Runtime folds it.
	const scalar: Emit["scalar"] = (value, type) => cast(record({ name: builder.scalar(value), type: "float", dims: [] }), type);
	const ints: Emit["ints"] = (values, dims) =>
		record({
			name: dims ? builder.constant(int64Tensor(values, dims)) : builder.ints(values),
			type: "int64",
			dims: dims ?? [values.length],
		});
	const pair = (a: Operand, b: Operand): [Value, Value] => {
		if (typeof a !== "number") return [a, typeof b === "number" ? scalar(b, a.type) : b];
		return [scalar(a, typeof b === "number" ? "float" : b.type), typeof b === "number" ? scalar(b, "float") : b];
	};
	const binary: Emit["binary"] = (name, a, b, type) => {
		const [va, vb] = pair(a, b);
		return op(name, [va, vb], broadcast(va.dims, vb.dims), type ? { type } : {});
	};
	const reshape: Emit["reshape"] = (x, dims) => {
		if (sameDims(x.dims, dims)) return x;
		if (sizeOf(x.dims) !== sizeOf(dims)) throw mismatch("reshape", `[${x.dims.join(", ")}]`, `[${dims.join(", ")}]`);
		// allowzero: an empty dim is a 0, not "as before".
		return op("Reshape", [x, ints(dims)], dims, dims.includes(0) ? { attributes: { allowzero: 1 } } : {});
	};
	const reduce: Emit["reduce"] = (name, x, axes) => {
		if (axes.length === 0) return x;
		const dims = x.dims.map((d, i) => (axes.includes(i) ? 1 : d));
		return op(name, [x, ints(axes)], dims, { attributes: { keepdims: 1 } });
	};
	return {
		op,
		scalar,
		ints,
		cast,
		reshape,
		reduce,
		binary,
		constant: (value) => record({ name: builder.constant(value), type: value.type, dims: value.dims }),
		full: (value, type, dims) => (dims.length === 0 ? scalar(value, type) : op("Expand", [scalar(value, type), ints(dims)], dims)),
		unary: (name, x) => op(name, [x], x.dims),
		add: (a, b) => binary("Add", a, b),
		sub: (a, b) => binary("Sub", a, b),
		mul: (a, b) => binary("Mul", a, b),
		div: (a, b) => binary("Div", a, b),
		where(condition, a, b) {
			const [va, vb] = pair(a, b);
			return op("Where", [condition, va, vb], broadcast(condition.dims, broadcast(va.dims, vb.dims)), { type: va.type });
		},
		sumAll: (values) => (values.length === 1 ? values[0] : op(values.length === 2 ? "Add" : "Sum", values, values[0].dims)),
		transpose: (x, perm) =>
			perm.every((p, i) => p === i)
				? x
				: op(
						"Transpose",
						[x],
						perm.map((p) => x.dims[p]),
						{ attributes: { perm } },
					),
		expand: (x, dims) => (sameDims(x.dims, dims) ? x : op("Expand", [x, ints(dims)], broadcast(x.dims, dims))),
		sumTo(x, dims) {
			if (sameDims(x.dims, dims)) return x;
			const lead = x.dims.length - dims.length;
			const fits = lead >= 0 && dims.every((d, i) => d === x.dims[i + lead] || d === 1);
			if (!fits) throw mismatch("a cotangent", `dims that reduce to [${dims.join(", ")}]`, `[${x.dims.join(", ")}]`);
			const axes = x.dims.map((_, i) => i).filter((i) => i < lead || dims[i - lead] !== x.dims[i]);
			return reshape(reduce("ReduceSum", x, axes), dims);
		},
		matmul(a, b) {
			const [m, k, n] = [a.dims.at(-2), a.dims.at(-1), b.dims.at(-1)];
			if (m === undefined || n === undefined || k !== b.dims.at(-2)) throw mismatch("matmul", `rows for ${dimsOf(a)}`, dimsOf(b));
			return op("MatMul", [a, b], [...broadcast(a.dims.slice(0, -2), b.dims.slice(0, -2)), m, n]);
		},
		slice(x, starts, ends, axes, steps = axes.map(() => 1)) {
			const dims = x.dims.map((d, axis) => {
				const i = axes.indexOf(axis);
				if (i < 0) return d;
				// For step -1 the end "before the first element" is written as -d - 1.
				const end = ends[i] < 0 ? ends[i] + d : Math.min(ends[i], d);
				return Math.max(0, Math.ceil((end - starts[i]) / steps[i]));
			});
			return op("Slice", [x, ints(starts), ints(ends), ints(axes), ints(steps)], dims);
		},
		pad(x, before, after) {
			if ([...before, ...after].every((n) => n === 0)) return x;
			return op(
				"Pad",
				[x, ints([...before, ...after])],
				x.dims.map((d, i) => d + before[i] + after[i]),
			);
		},
		concat: (values, axis) =>
			values.length === 1
				? values[0]
				: op(
						"Concat",
						values,
						values[0].dims.map((d, i) => (i === axis ? values.reduce((n, v) => n + v.dims[axis], 0) : d)),
						{ attributes: { axis } },
					),
	};
}
