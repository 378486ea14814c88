/** @file Cases of gathering and scattering, with indices from either end that may repeat. */
import fc from "fast-check";
import { random } from "../../../src/tensor/random.ts";
import { sizeOf } from "../../../src/tensor/tensor.ts";
import { ints, type Operand, type RuleCase, x } from "../check-rule.ts";
import { dims, dimsAndAxis, type RuleCases, range, seed } from "./arbitraries.ts";

const indices = (size: number, shape: readonly number[], key: number): Operand => {
	const { int } = random("indices", key);
	return { ints: Array.from({ length: sizeOf(shape) }, () => int(2 * size) - size), dims: shape };
};

const gather: fc.Arbitrary<RuleCase> = fc.tuple(dimsAndAxis(1, 4), dims(0, 2), seed).map(([[d, axis], shape, s]) => ({
	op: "Gather",
	inputs: [x(...d), indices(d.at(axis) ?? 1, shape, s)],
	attributes: { axis },
	linear: true,
	seed: s,
}));

const gatherElements: fc.Arbitrary<RuleCase> = fc.tuple(dimsAndAxis(1, 3), range(1, 4), seed).map(([[d, axis], n, s]) => ({
	op: "GatherElements",
	inputs: [x(...d), indices(d.at(axis) ?? 1, d.with(axis, n), s)],
	attributes: { axis },
	linear: true,
	seed: s,
}));

/** Rows of `k` indices into the axes behind `batch`; without repetition where a scatter would be undefined. */
function tuples(d: readonly number[], batch: number, k: number, count: number, key: number, repeat = true): Operand {
	const { int, shuffled } = random("tuples", key);
	const indexed = d.slice(batch, batch + k);
	const all = Array.from({ length: sizeOf(indexed) }, (_, i) => i);
	const row = (flat: number) => indexed.map((n, i) => Math.floor(flat / sizeOf(indexed.slice(i + 1))) % n);
	const lead = d.slice(0, batch);
	const lists = Array.from({ length: sizeOf(lead) }, () =>
		repeat ? Array.from({ length: count }, () => int(all.length)) : shuffled(all).slice(0, count),
	);
	const values = lists.flat().flatMap(row);
	return { ints: values.map((v, i) => (repeat && i % 3 === 0 ? v - indexed[i % k] : v)), dims: [...lead, lists[0].length, k] };
}

const gatherNd: fc.Arbitrary<RuleCase> = dims(1, 4).chain((d) =>
	fc.nat(d.length - 1).chain((batch_dims) =>
		fc.tuple(range(1, d.length - batch_dims), range(1, 4), seed).map(([k, count, s]) => ({
			op: "GatherND",
			inputs: [x(...d), tuples(d, batch_dims, k, count, s)],
			attributes: { batch_dims },
			linear: true,
			seed: s,
		})),
	),
);

const reduction = fc.constantFrom("none", "add");

/** Along an axis; "none" writes to each place once. */
const scatterElements: fc.Arbitrary<RuleCase> = fc.tuple(dimsAndAxis(1, 3), reduction, seed).map(([[d, axis], mode, s]) => {
	const size = d.at(axis) ?? 1;
	const { int, shuffled } = random("scatter", s);
	const n = 1 + int(mode === "add" ? 4 : size);
	const shape = d.with(axis, n);
	const places = shuffled(Array.from({ length: size }, (_, i) => i));
	const at = axis < 0 ? axis + d.length : axis;
	const along = sizeOf(shape.slice(at + 1));
	const list = Array.from({ length: sizeOf(shape) }, (_, i) => (mode === "add" ? int(2 * size) - size : places[Math.floor(i / along) % n]));
	return {
		op: "ScatterElements",
		inputs: [x(...d), { ints: list, dims: shape }, x(...shape)],
		attributes: { axis, reduction: mode },
		linear: true,
		seed: s,
	};
});

const scatterNd: fc.Arbitrary<RuleCase> = dims(1, 3).chain((d) =>
	fc.tuple(range(1, d.length), range(1, 3), reduction, seed).map(([k, count, mode, s]) => {
		const list = tuples(d, 0, k, count, s, false);
		const n = list && "ints" in list ? list.ints.length / k : 0;
		return { op: "ScatterND", inputs: [x(...d), list, x(n, ...d.slice(k))], attributes: { reduction: mode }, linear: true, seed: s };
	}),
);

const topK: fc.Arbitrary<RuleCase> = fc
	.tuple(dimsAndAxis(1, 3, 5), fc.nat(4), fc.constantFrom(0, 1), seed)
	.map(([[d, axis], n, largest, s]) => ({
		op: "TopK",
		inputs: [x(...d), ints(1 + (n % (d.at(axis) ?? 1)))],
		attributes: { axis, largest },
		outputs: 2,
		sample: "distinct",
		seed: s,
	}));

const oneHot: fc.Arbitrary<RuleCase> = dims(1, 3).chain((d) =>
	fc.tuple(range(-d.length - 1, d.length), range(1, 4), seed).map(([axis, depth, s]) => ({
		op: "OneHot",
		inputs: [indices(depth, d, s), ints(depth), x(2)],
		attributes: { axis },
		linear: true,
		seed: s,
	})),
);

export const indexing: RuleCases = {
	Gather: gather,
	GatherElements: gatherElements,
	GatherND: gatherNd,
	ScatterElements: scatterElements,
	ScatterND: scatterNd,
	TopK: topK,
	OneHot: oneHot,
};
