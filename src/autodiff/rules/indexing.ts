/** @file Gathering and scattering. Repeated indices add up. */
import { sizeOf } from "../../tensor/tensor.ts";
import { scatterAdd, unpick } from "../adjoint.ts";
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

const gatherNd: Vjp = (c, dy) => {
	if (c.int("batch_dims", 0) !== 0) throw c.unsupported("batch_dims", "write it with GatherElements");
	const x = c.x(0);
	return [c.e.op("ScatterND", [c.e.full(0, dy.type, x.dims), c.x(1), dy], x.dims, { attributes: { reduction: "add" } })];
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

export const indexing = {
	Gather: { vjp: gather, stop: [1] },
	GatherElements: { vjp: gatherElements, stop: [1] },
	GatherND: { vjp: gatherNd, stop: [1] },
	ScatterElements: { vjp: scatter("ScatterElements", "GatherElements"), stop: [1] },
	ScatterND: { vjp: scatter("ScatterND", "GatherND"), stop: [1] },
	TopK: { vjp: topK, stop: [1] },
} satisfies RuleFamily;
