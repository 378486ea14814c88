/** @file Cases of operators that move elements. */
import fc from "fast-check";
import { ints, type RuleCase, x } from "../check-rule.ts";
import { dims, dimsAndAxis, type RuleCases, range, seed } from "./arbitraries.ts";

const linear = (arb: fc.Arbitrary<Omit<RuleCase, "linear">>): fc.Arbitrary<RuleCase> =>
	fc.tuple(arb, seed).map(([c, s]) => ({ ...c, linear: true, seed: s }));

/** The same number of elements in other dims; one of them may be written as -1, those that stay as 0. */
const reshape = fc.tuple(dims(1, 3), dims(0, 2), fc.nat(5), fc.boolean()).map(([a, b, at, infer]) => {
	const from = [...a, ...b];
	const to = [...a.slice(1), ...b, a[0]];
	const zeros = to.map((d, i) => (i < from.length && d === from[i] ? 0 : d));
	const shape = infer ? zeros.map((d, i) => (i === at % to.length ? -1 : d)) : zeros;
	return { op: "Reshape", inputs: [x(...from), ints(...shape)] };
});

const flatten = dims(1, 4).chain((d) =>
	range(-d.length, d.length).map((axis) => ({ op: "Flatten", inputs: [x(...d)], attributes: { axis } })),
);

const squeeze = fc.tuple(dims(0, 3), fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }), fc.boolean()).map(([d, places, listed]) => {
	const full = places.reduce<number[]>((all, at) => [...all.slice(0, at), 1, ...all.slice(at)], d);
	const axes = full.map((_, i) => i).filter((i) => full[i] === 1);
	return { op: "Squeeze", inputs: listed ? [x(...full), ints(...axes.map((a, i) => (i % 2 ? a - full.length : a)))] : [x(...full)] };
});

const unsqueeze = fc.tuple(dims(0, 3), range(1, 3)).chain(([d, count]) =>
	fc
		.shuffledSubarray(
			Array.from({ length: d.length + count }, (_, i) => i),
			{ minLength: count, maxLength: count },
		)
		.map((axes) => ({ op: "Unsqueeze", inputs: [x(...d), ints(...axes)] })),
);

const transpose = dims(1, 5, 3).chain((d) =>
	fc
		.option(
			fc.shuffledSubarray(
				d.map((_, i) => i),
				{ minLength: d.length },
			),
			{ nil: undefined },
		)
		.map((perm) => ({ op: "Transpose", inputs: [x(...d)], attributes: perm ? { perm } : {} })),
);

const concat = fc.tuple(dimsAndAxis(1, 4), fc.array(range(1, 3), { minLength: 1, maxLength: 4 })).map(([[d, axis], sizes]) => ({
	op: "Concat",
	inputs: sizes.map((n) => x(...d.with(axis, n))),
	attributes: { axis },
}));

/** By sizes, or into parts of which the last may be smaller; one output is differentiated, the others are not used. */
const split = fc
	.tuple(dimsAndAxis(1, 3), fc.array(range(1, 3), { minLength: 1, maxLength: 4 }), fc.nat(3), fc.boolean())
	.map(([[d, axis], sizes, of, even]) => {
		const total = sizes.reduce((n, s) => n + s, 0);
		const parts = even ? Math.ceil(total / Math.ceil(total / sizes.length)) : sizes.length;
		return {
			op: "Split",
			inputs: even ? [x(...d.with(axis, total))] : [x(...d.with(axis, total)), ints(...sizes)],
			attributes: even ? { axis, num_outputs: parts } : { axis },
			outputs: parts,
			of: of % parts,
		};
	});

/** Of any axes: a start within, a step in either direction, and an end that leaves `count` elements or lies beyond. */
const slice = dims(1, 4, 7).chain((d) =>
	fc
		.shuffledSubarray(
			d.map((_, i) => i),
			{ minLength: 1 },
		)
		.chain((axes) =>
			fc
				.tuple(
					...axes.map((axis) =>
						fc.tuple(fc.nat(d[axis] - 1), fc.constantFrom(-3, -2, -1, 1, 2, 3), range(1, 4), fc.boolean(), fc.boolean()),
					),
				)
				.map((parts) => {
					const starts = parts.map(([start, , , negative], i) => (negative ? start - d[axes[i]] : start));
					const ends = parts.map(([start, step, count, , far], i) => {
						if (far) return step > 0 ? 2 ** 40 : -(2 ** 40);
						const end = start + step * count;
						return step < 0 && end < 0 ? -d[axes[i]] - 1 : end;
					});
					return { op: "Slice", inputs: [x(...d), ints(...starts), ints(...ends), ints(...axes), ints(...parts.map((p) => p[1]))] };
				}),
		),
);

const pad = fc
	.tuple(
		dims(1, 4),
		fc.constantFrom("constant", "constant", "reflect", "edge", "wrap"),
		fc.array(range(-1, 3), { minLength: 8, maxLength: 8 }),
		fc.boolean(),
	)
	.map(([d, mode, amounts, listed]) => {
		const rank = d.length;
		// Reflection stays within the input; nothing is cut away completely.
		const limit = (n: number) => ({ constant: 3, edge: 3, reflect: n - 1, wrap: n })[mode] ?? 0;
		const before = d.map((n, i) => Math.min(amounts[i], limit(n)));
		const after = d.map((n, i) => Math.min(amounts[i + 4], limit(n)));
		const pads = [before, after].flatMap((list) => list.map((p, i) => (mode === "constant" && d[i] > 2 ? p : Math.max(p, 0))));
		const axes = d.map((_, i) => i - rank);
		return {
			op: "Pad",
			inputs: listed ? [x(...d), ints(...pads), undefined, ints(...axes)] : [x(...d), ints(...pads)],
			attributes: { mode },
		};
	});

const expand = fc.tuple(dims(0, 4), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.nat(4)).map(([to, ones, dropped]) => ({
	op: "Expand",
	inputs: [x(...to.map((d, i) => (ones[i] ? 1 : d)).slice(Math.min(dropped, to.length))), ints(...to)],
}));

const tile = fc
	.tuple(dims(1, 4, 3), fc.array(range(1, 3), { minLength: 4, maxLength: 4 }))
	.map(([d, repeats]) => ({ op: "Tile", inputs: [x(...d), ints(...repeats.slice(0, d.length))] }));

const trilu = fc.tuple(dims(2, 4), fc.option(range(-3, 3), { nil: undefined }), range(0, 1)).map(([d, k, upper]) => ({
	op: "Trilu",
	inputs: k === undefined ? [x(...d)] : [x(...d), { ints: [k], dims: [] }],
	attributes: { upper },
}));

const blocks = fc.tuple(dims(4, 4, 3), range(1, 3), fc.constantFrom("DCR", "CRD"));

export const movement: RuleCases = {
	Reshape: linear(reshape),
	Flatten: linear(flatten),
	Squeeze: linear(squeeze),
	Unsqueeze: linear(unsqueeze),
	Transpose: linear(transpose),
	Concat: linear(concat),
	Split: linear(split),
	Slice: linear(slice),
	Pad: linear(pad),
	Expand: linear(expand),
	Tile: linear(tile),
	Trilu: linear(trilu),
	DepthToSpace: linear(
		blocks.map(([[n, c, h, w], b, mode]) => ({ op: "DepthToSpace", inputs: [x(n, c * b * b, h, w)], attributes: { blocksize: b, mode } })),
	),
	SpaceToDepth: linear(
		blocks.map(([[n, c, h, w], b]) => ({ op: "SpaceToDepth", inputs: [x(n, c, h * b, w * b)], attributes: { blocksize: b } })),
	),
};
