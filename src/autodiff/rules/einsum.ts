/** @file Einsum, with ellipses and diagonals. */
import type { Value } from "../emit.ts";
import type { RuleContext, Vjp } from "../rule.ts";

interface Subscripts {
	/** One letter an axis, for each operand. */
	terms: readonly string[][];
	output: readonly string[];
}

const LETTERS = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];

/** The letters of an equation; an ellipsis is spelled out in letters that the equation does not use. */
function read(equation: string, ranks: readonly number[]): Subscripts {
	const [left, right] = equation.replaceAll(" ", "").split("->");
	const terms = left.split(",");
	const free = LETTERS.filter((letter) => !equation.includes(letter));
	// ONNX Runtime wants every ellipsis to stand for the same number of axes.
	const length = Math.max(...terms.map((term, i) => (term.includes("...") ? ranks[i] - (term.length - 3) : 0)));
	const ellipsis = free.slice(0, length).join("");
	const spell = (term: string) => [...term.replace("...", ellipsis)];
	const letters = [...left.replaceAll(/[.,]/g, "")];
	const once = letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter)).sort();
	return {
		terms: terms.map(spell),
		output: right === undefined ? [...ellipsis, ...once] : spell(right),
	};
}

/** An operand without the axes along which it is broadcast: only an ellipsis may be, by the standard. */
function squeezed(c: RuleContext, x: Value, term: readonly string[], sizes: ReadonlyMap<string, number>): { x: Value; term: string[] } {
	const kept = term.map((letter, axis) => x.dims[axis] === sizes.get(letter));
	return {
		x: c.e.reshape(
			x,
			x.dims.filter((_, axis) => kept[axis]),
		),
		term: term.filter((_, axis) => kept[axis]),
	};
}

/** 1 on the diagonal of two axes of `like`, 0 off it; the other axes have one element. */
function eye({ e }: RuleContext, like: Value, a: number, b: number): Value {
	const size = like.dims[a];
	const ones = e.op("EyeLike", [e.full(0, "float", [size, size])], [size, size]);
	const dims = like.dims.map((_, axis) => (axis === a || axis === b ? size : 1));
	return e.cast(e.reshape(ones, dims), like.type);
}

/**
 * The cotangent of an operand is the product of dY with the other operands, summed over all letters but its own. Letters that
 * nothing else has repeat what is there; a letter that it has twice puts it on a diagonal.
 */
export const einsum: Vjp = (c, dy) => {
	const { e } = c;
	const operands = c.node.inputs.map((_, i) => c.x(i));
	const equation = c.text("equation", "");
	const { terms, output } = read(
		equation,
		operands.map((x) => x.dims.length),
	);
	const sizes = new Map<string, number>();
	terms.forEach((term, i) => {
		term.forEach((letter, axis) => {
			sizes.set(letter, Math.max(operands[i].dims[axis], sizes.get(letter) ?? 0));
		});
	});
	// ONNX Runtime computes this, but its shape inference is wrong.
	if (output.some((letter, axis) => dy.dims[axis] !== sizes.get(letter))) {
		throw c.unsupported(`the equation '${equation}' with broadcast letters`, "broadcast with '...' or with Expand");
	}
	return terms.map((term, i) => {
		if (!c.needs(i)) return undefined;
		const { dims } = operands[i];
		const others = operands.flatMap((x, j) => (j === i ? [] : [squeezed(c, x, terms[j], sizes)]));
		const seen = new Set([...output, ...others.flatMap((o) => o.term)]);
		const isFirst = (letter: string, axis: number) => term.indexOf(letter) === axis;
		const has = (letter: string, axis: number) => isFirst(letter, axis) && seen.has(letter) && dims[axis] === sizes.get(letter);
		const own = term.filter(has);
		const made = own.map((letter) => sizes.get(letter) ?? 1);
		const from = [output, ...others.map((o) => o.term)].map((letters) => letters.join(""));
		const product =
			from.join(",") === own.join("")
				? dy
				: e.op("Einsum", [dy, ...others.map((o) => o.x)], made, { attributes: { equation: `${from.join(",")}->${own.join("")}` } });
		const apart = e.reshape(
			product,
			term.map((letter, axis) => (has(letter, axis) ? dims[axis] : 1)),
		);
		const full = e.expand(
			apart,
			term.map((letter, axis) => (isFirst(letter, axis) ? dims[axis] : 1)),
		);
		return term.reduce((v, letter, axis) => (isFirst(letter, axis) ? v : e.mul(v, eye(c, full, term.indexOf(letter), axis))), full);
	});
};
