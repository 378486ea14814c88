/** @file Gathering and scattering. Repeated indices add up. */
import { floatTensor } from "../../onnx/builder.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { scatterAdd, scatterRows, unpick } from "../adjoint.ts";
import type { Value } from "../emit.ts";
import { axisOf, type RuleFamily, type Vjp } from "../rule.ts";

const gather: Vjp = (c, dy) => {
	const { e } = c;
	const [x, indices] = [c.x(0), c.x(1)];
	const axis = axisOf(c.int("axis", 0), x.dims.length);
	const size = x.dims[axis];
	const count = sizeOf(indices.dims);
	const flat = e.reshape(dy, [...x.dims.slice(0, axis), count, ...x.dims.slice(axis + 1)]);
	const known = c.constant(1);
	if (known) {
		return [
			unpick(
				e,
				flat,
				axis,
				known.map((i) => (i < 0 ? i + size : i)),
				size,
			),
		];
	}
	const column = e.reshape(
		indices,
		x.dims.map((_, i) => (i === axis ? count : 1)),
	);
	return [scatterAdd(e, e.expand(column, flat.dims), flat, axis, size)];
};

const gatherElements: Vjp = (c, dy) => {
	const x = c.x(0);
	const axis = axisOf(c.int("axis", 0), x.dims.length);
	return [c.e.op("ScatterElements", [c.e.full(0, dy.type, x.dims), c.x(1), dy], x.dims, { attributes: { axis, reduction: "add" } })];
};

/**
 * data is [batch, size, rest] and indices [batch, m, k] point at its rows. Not ScatterND: that of ONNX Runtime on CPUs adds
 * in parallel without a lock and loses sums where indices repeat (measured with 1.30).
 */
const gatherNd: Vjp = (c, dy) => {
	const { e } = c;
	const [x, indices] = [c.x(0), c.x(1)];
	const batchDims = c.int("batch_dims", 0);
	const k = indices.dims.at(-1) ?? 0;
	const batch = sizeOf(x.dims.slice(0, batchDims));
	const indexed = x.dims.slice(batchDims, batchDims + k);
	const [size, rest] = [sizeOf(indexed), sizeOf(x.dims.slice(batchDims + k))];
	const list = e.reshape(indices, [batch, sizeOf(indices.dims) / batch / k, k]);
	const wrapped = e.where(e.binary("Less", list, 0, "bool"), e.add(list, e.ints(indexed)), list);
	const strides = indexed.map((_, i) => sizeOf(indexed.slice(i + 1)));
	const within = e.reduce("ReduceSum", e.mul(wrapped, e.ints(strides)), [2]);
	const starts = e.ints(
		Array.from({ length: batch }, (_, i) => i * size),
		[batch, 1, 1],
	);
	const rows = e.add(within, starts);
	const count = sizeOf(rows.dims);
	const sums = scatterRows(e, e.reshape(rows, [count]), e.reshape(dy, [count, rest]), batch * size);
	return [e.reshape(sums, x.dims)];
};

/** data[indices] = updates, or += with reduction "add". Doubled indices without reduction are undefined in the standard. */
const scatter =
	(write: "ScatterElements" | "ScatterND", read: "GatherElements" | "GatherND"): Vjp =>
	(c, dy) => {
		const { e } = c;
		const reduction = c.text("reduction", "none");
		if (reduction !== "none" && reduction !== "add") throw c.unsupported(`reduction "${reduction}"`, 'use reduction "none" or "add"');
		const [indices, updates] = [c.x(1), c.x(2)];
		const attributes = write === "ScatterElements" ? { axis: axisOf(c.int("axis", 0), dy.dims.length) } : {};
		const erased = () => e.op(write, [dy, indices, e.full(0, dy.type, updates.dims)], dy.dims, { attributes });
		return [
			c.needs(0) ? (reduction === "add" ? dy : erased()) : undefined,
			undefined,
			c.needs(2) ? e.op(read, [dy, indices], updates.dims, { attributes }) : undefined,
		];
	};

const topK: Vjp = (c, dy) => {
	const x = c.x(0);
	const axis = axisOf(c.int("axis", -1), x.dims.length);
	return [scatterAdd(c.e, c.extra(1, { type: "int64", dims: dy.dims }), dy, axis, x.dims[axis])];
};

/** The values are [off, on]; each gets what its places send back. */
const oneHot: Vjp = (c, dy) => {
	const { e } = c;
	const { axis } = c.node.attributes;
	const bits = e.cast(e.constant(floatTensor([0, 1], [2])), dy.type);
	const on = e.op("OneHot", [c.x(0), c.x(1), bits], dy.dims, { attributes: axis ? { axis } : {}, type: dy.type });
	const total = (v: Value) => e.sumTo(e.mul(dy, v), [1]);
	return [undefined, undefined, e.concat([total(e.sub(1, on)), total(on)], 0)];
};

export const indexing = {
	Gather: { vjp: gather, stop: [1] },
	GatherElements: { vjp: gatherElements, stop: [1] },
	GatherND: { vjp: gatherNd, stop: [1] },
	ScatterElements: { vjp: scatter("ScatterElements", "GatherElements"), stop: [1] },
	ScatterND: { vjp: scatter("ScatterND", "GatherND"), stop: [1] },
	OneHot: { vjp: oneHot, stop: [0, 1] },
	TopK: { vjp: topK, stop: [1] },
} satisfies RuleFamily;
