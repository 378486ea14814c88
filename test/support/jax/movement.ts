/** @file Moving, gathering and scattering in jax-js. */
import { lax, nn, numpy as np } from "@jax-js/jax";
import { sizeOf } from "../../../src/tensor/tensor.ts";
import { array, integers, type JaxContext, type JaxOperator, upTo } from "./context.ts";

const reshaped: JaxOperator = (c) => np.reshape(c.x(), [...c.out]);

const axisOf = (axis: number, rank: number) => (axis < 0 ? axis + rank : axis);

/** The elements of one axis with these indices. */
const pick = (v: np.Array, axis: number, indices: readonly number[]) => np.take(v, integers(indices), axis);

/** As Python slices a list. */
function sliced(size: number, start: number, end: number, step: number): number[] {
	const clamp = (v: number) => Math.min(Math.max(v < 0 ? v + size : v, step < 0 ? -1 : 0), step < 0 ? size - 1 : size);
	const [from, to] = [clamp(start), clamp(end)];
	return upTo(Math.max(0, Math.ceil((to - from) / step))).map((i) => from + i * step);
}

const slice: JaxOperator = (c) => {
	const dims = c.dims();
	const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => c.list(i));
	return axes.reduce((v, axis, i) => pick(v, axis, sliced(dims[axisOf(axis, dims.length)], starts[i], ends[i], steps[i])), c.x());
};

/** Where each padded element comes from; -1 for the padding of mode "constant". */
function origin(mode: string, at: number, size: number): number {
	if (at >= 0 && at < size) return at;
	if (mode === "constant") return -1;
	if (mode === "edge") return at < 0 ? 0 : size - 1;
	if (mode === "wrap") return origin(mode, at < 0 ? at + size : at - size, size);
	return origin(mode, at < 0 ? -at : 2 * (size - 1) - at, size);
}

/** By sizes, or into parts of which only the last may be smaller. */
const split: JaxOperator = (c) => {
	const axis = axisOf(c.int("axis", 0), c.dims().length);
	const total = c.dims()[axis];
	const part = Math.ceil(total / c.int("num_outputs", 1));
	const sizes = c.has(1) ? c.list(1) : upTo(c.int("num_outputs", 1)).map((i) => Math.min(part, total - i * part));
	const start = sizes.slice(0, c.of).reduce((n, size) => n + size, 0);
	return pick(
		c.x(),
		axis,
		upTo(sizes[c.of]).map((i) => start + i),
	);
};

const pad: JaxOperator = (c) => {
	const dims = c.dims();
	const mode = c.text("mode", "constant");
	const pads = c.list(1);
	const axes = c.has(3) ? c.list(3).map((a) => axisOf(a, dims.length)) : upTo(dims.length);
	return axes.reduce((v, axis, i) => {
		const total = dims[axis] + pads[i] + pads[i + axes.length];
		const from = upTo(total).map((n) => origin(mode, n - pads[i], dims[axis]));
		const filled = pick(
			v,
			axis,
			from.map((n) => Math.max(n, 0)),
		);
		const kept = from.map((n) => (n < 0 ? 0 : 1));
		return np.multiply(
			filled,
			array(
				kept,
				dims.map((_, a) => (a === axis ? total : 1)),
			),
		);
	}, c.x());
};

const blocks = (c: JaxContext, deep: readonly number[]): { apart: number[]; perm: number[] } => {
	const b = c.int("blocksize", 1);
	const [n, channels, h, w] = deep;
	const rest = channels / b / b;
	return c.text("mode", "DCR") === "DCR"
		? { apart: [n, b, b, rest, h, w], perm: [0, 3, 4, 1, 5, 2] }
		: { apart: [n, rest, b, b, h, w], perm: [0, 1, 4, 2, 5, 3] };
};

const depthToSpace: JaxOperator = (c) => {
	const { apart, perm } = blocks(c, c.dims());
	return np.reshape(np.transpose(np.reshape(c.x(), apart), perm), [...c.out]);
};

const spaceToDepth: JaxOperator = (c) => {
	const b = c.int("blocksize", 1);
	const [n, channels, h, w] = c.dims();
	const apart = np.reshape(c.x(), [n, channels, h / b, b, w / b, b]);
	return np.reshape(np.transpose(apart, [0, 3, 5, 1, 2, 4]), [...c.out]);
};

const positive = (indices: readonly number[], size: number) => indices.map((i) => (i < 0 ? i + size : i));

const gather: JaxOperator = (c) => {
	const dims = c.dims();
	const axis = axisOf(c.int("axis", 0), dims.length);
	const shape = [...c.out.slice(axis, axis + c.out.length - dims.length + 1)];
	return np.take(c.x(), integers(positive(c.list(1), dims[axis]), shape), axis);
};

const gatherElements: JaxOperator = (c) => {
	const dims = c.dims();
	const axis = axisOf(c.int("axis", 0), dims.length);
	return np.takeAlongAxis(c.x(), integers(positive(c.list(1), dims[axis]), c.out), axis);
};

/** Rows of k indices into axes behind the batch -> rows of the data as a matrix. */
function flatRows(list: readonly number[], dims: readonly number[], batchDims: number, k: number): number[] {
	const indexed = dims.slice(batchDims, batchDims + k);
	const perBatch = list.length / k / sizeOf(dims.slice(0, batchDims));
	return upTo(list.length / k).map((row) => {
		const index = indexed.map((n, i) => (list[row * k + i] + n) % n);
		return index.reduce((at, v, i) => at * indexed[i] + v, Math.floor(row / perBatch));
	});
}

const gatherNd: JaxOperator = (c) => {
	const dims = c.dims();
	const batch = c.int("batch_dims", 0);
	const k = dims.length - batch - (c.out.length - batch - 1);
	const rows = flatRows(c.list(1), dims, batch, k);
	const matrix = np.reshape(c.x(), [-1, sizeOf(dims.slice(batch + k))]);
	return np.reshape(pick(matrix, 0, rows), [...c.out]);
};

/** data [rows, n] with updates [m, n] written or added at `at` [m]: the updates times a matrix of ones and zeros. */
function scattered(c: JaxContext, at: readonly number[], rows: number, n: number): np.Array {
	const ones = upTo(rows).flatMap((row) => at.map((target) => (target === row ? 1 : 0)));
	const kept = upTo(rows).map((row) => (c.text("reduction", "none") === "none" && at.includes(row) ? 0 : 1));
	const data = np.multiply(np.reshape(c.x(0), [rows, n]), array(kept, [rows, 1]));
	const added = np.matmul(array(ones, [rows, at.length]), np.reshape(c.x(2), [at.length, n]));
	return np.reshape(np.add(data, added), [...c.out]);
}

const scatterElements: JaxOperator = (c) => {
	const dims = c.dims();
	const axis = axisOf(c.int("axis", 0), dims.length);
	const updates = c.dims(2);
	const at = c.list(1).map((value, flat) => {
		let rest = flat;
		const index = [...updates].reverse().map((n) => {
			const i = rest % n;
			rest = Math.floor(rest / n);
			return i;
		});
		return index.reverse().reduce((place, i, a) => place * dims[a] + (a === axis ? (value + dims[a]) % dims[a] : i), 0);
	});
	return scattered(c, at, sizeOf(dims), 1);
};

const scatterNd: JaxOperator = (c) => {
	const dims = c.dims();
	const k = dims.length - (c.dims(2).length - 1);
	return scattered(c, flatRows(c.list(1), dims, 0, k), sizeOf(dims.slice(0, k)), sizeOf(dims.slice(k)));
};

const topK: JaxOperator = (c) => {
	const axis = c.int("axis", -1);
	const [k] = c.list(1);
	if (c.int("largest", 1) === 1) return lax.topK(c.x(), k, axis)[0];
	return np.negative(lax.topK(np.negative(c.x()), k, axis)[0]);
};

/** off + (on - off) hot */
const oneHot: JaxOperator = (c) => {
	const [depth] = c.list(1);
	const axis = axisOf(c.int("axis", -1), c.out.length);
	const shape = c.out.filter((_, i) => i !== axis);
	const hot = np.moveaxis(nn.oneHot(integers(positive(c.list(0), depth), shape), depth), -1, axis);
	const [off, on] = [0, 1].map((i) => np.reshape(pick(c.x(2), 0, [i]), []));
	return np.add(off.ref, np.multiply(np.subtract(on, off), hot));
};

export const movement: Record<string, JaxOperator> = {
	Reshape: reshaped,
	Flatten: reshaped,
	Squeeze: reshaped,
	Unsqueeze: reshaped,
	Transpose: (c) => np.transpose(c.x(), c.ints("perm", upTo(c.dims().length).reverse())),
	Concat: (c) =>
		np.concatenate(
			upTo(c.count).map((i) => c.x(i)),
			c.int("axis", 0),
		),
	Split: split,
	Slice: slice,
	Pad: pad,
	Expand: (c) => np.broadcastTo(c.x(), [...c.out]),
	Tile: (c) => np.tile(c.x(), c.list(1)),
	Trilu: (c) => (c.int("upper", 1) === 1 ? np.triu : np.tril)(c.x(), c.has(1) ? c.list(1)[0] : 0),
	DepthToSpace: depthToSpace,
	SpaceToDepth: spaceToDepth,
	Gather: gather,
	GatherElements: gatherElements,
	GatherND: gatherNd,
	ScatterElements: scatterElements,
	ScatterND: scatterNd,
	TopK: topK,
	OneHot: oneHot,
};
