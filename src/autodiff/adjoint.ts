/** @file Adjoints of selections along axes, shared by the rules for slicing, padding and gathering. */
import { int64Tensor } from "../onnx/builder.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Emit, Value } from "./emit.ts";

const at = (dims: readonly number[], axis: number, size: number) => dims.map((d, i) => (i === axis ? size : d));

/** Puts slices of dy back at start, start + step, ... of an axis with `size` elements; zeros between. Only Reshape and Pad. */
export function unslice(e: Emit, dy: Value, axis: number, start: number, step: number, size: number): Value {
	const n = dy.dims[axis];
	let value = dy;
	let [from, stride] = [start, step];
	if (stride < 0) {
		value = e.slice(value, [n - 1], [-n - 1], [axis], [-1]);
		from = start + (n - 1) * step;
		stride = -step;
	}
	if (stride > 1) {
		const split = [...dy.dims.slice(0, axis), n, 1, ...dy.dims.slice(axis + 1)];
		const none = split.map(() => 0);
		value = e.pad(e.reshape(value, split), none, at(none, axis + 1, stride - 1));
		value = e.reshape(value, at(dy.dims, axis, n * stride));
	}
	const none = dy.dims.map(() => 0);
	return e.pad(value, at(none, axis, from), at(none, axis, size - from - value.dims[axis]));
}

/** Adjoint of picking `indices` (which may repeat) along an axis of `size` elements. */
export function unpick(e: Emit, dy: Value, axis: number, indices: readonly number[], size: number): Value {
	const step = indices.length > 1 ? indices[1] - indices[0] : 1;
	const regular = indices.every((index, i) => index === indices[0] + i * step);
	if (regular && step !== 0 && indices.length > 0) return unslice(e, dy, axis, indices[0], step, size);
	const index = e.constant(
		int64Tensor(
			indices,
			at(
				dy.dims.map(() => 1),
				axis,
				indices.length,
			),
		),
	);
	return scatterAdd(e, e.expand(index, dy.dims), dy, axis, size);
}

/** zeros[..., indices, ...] += dy along an axis. */
export function scatterAdd(e: Emit, indices: Value, dy: Value, axis: number, size: number): Value {
	const dims = at(dy.dims, axis, size);
	return e.op("ScatterElements", [e.full(0, dy.type, dims), indices, dy], dims, { attributes: { axis, reduction: "add" } });
}

/** zeros [size, n] with updates [m, n] added to the rows that `rows` [m] names. ScatterND would lose sums: see `gatherNd`. */
export function scatterRows(e: Emit, rows: Value, updates: Value, size: number): Value {
	return scatterAdd(e, e.expand(e.reshape(rows, [...rows.dims, 1]), updates.dims), updates, 0, size);
}

/** Applies M [to, from] to one axis: out[..., i, ...] = sum_j M[i, j] x[..., j, ...]. */
export function alongAxis(e: Emit, x: Value, axis: number, matrix: Value): Value {
	const [to, from] = matrix.dims;
	const before = x.dims.slice(0, axis);
	const after = x.dims.slice(axis + 1);
	if (after.length === 0) {
		return e.reshape(e.matmul(e.reshape(x, [sizeOf(before), from]), e.transpose(matrix, [1, 0])), [...before, to]);
	}
	return e.reshape(e.matmul(matrix, e.reshape(x, [sizeOf(before), from, sizeOf(after)])), [...before, to, ...after]);
}
