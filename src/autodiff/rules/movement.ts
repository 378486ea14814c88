/** @file Operators that move elements without changing them. */
import { unpick, unslice } from "../adjoint.ts";
import type { Value } from "../emit.ts";
import { axisOf, MAX_TABLE, type Rule, type RuleContext, type RuleFamily, type Vjp } from "../rule.ts";

/** Reshape, Flatten, Squeeze, Unsqueeze: the elements keep their order. */
const reshaping: Rule = { stop: [1], vjp: (c, dy) => [c.e.reshape(dy, c.x().dims)] };

const inverse = (perm: readonly number[]) => perm.map((_, i) => perm.indexOf(i));

const transpose: Vjp = (c, dy) => {
	const perm = c.ints("perm") ?? dy.dims.map((_, i) => dy.dims.length - 1 - i);
	return [c.e.transpose(dy, inverse(perm))];
};

const concat: Vjp = (c, dy) => {
	const axis = axisOf(c.int("axis", 0), dy.dims.length);
	let start = 0;
	return c.inputs.map((input, i) => {
		const from = start;
		start += input?.dims[axis] ?? 0;
		return c.needs(i) ? c.e.slice(dy, [from], [start], [axis]) : undefined;
	});
};

/** Outputs that nothing uses contribute zeros: every part must be there for the dims to be right. */
const split: Vjp = (c, _, dys) => {
	const axis = axisOf(c.int("axis", 0), c.x().dims.length);
	const type = c.x().type;
	return [
		c.e.concat(
			c.outputs.map((output, i) => dys[i] ?? c.e.full(0, type, output.dims)),
			axis,
		),
	];
};

const slice: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	const starts = c.known(1, "starts");
	const axes = c.inputs[3] ? c.known(3, "axes").map((a) => axisOf(a, x.dims.length)) : starts.map((_, i) => i);
	const steps = c.inputs[4] ? c.known(4, "steps") : starts.map(() => 1);
	const before = x.dims.map(() => 0);
	const after = x.dims.map(() => 0);
	let value = dy;
	axes.forEach((axis, i) => {
		const size = x.dims[axis];
		const raw = starts[i] < 0 ? starts[i] + size : starts[i];
		const start = Math.min(Math.max(raw, 0), steps[i] < 0 ? size - 1 : size);
		if (steps[i] === 1) {
			before[axis] = start;
			after[axis] = size - start - dy.dims[axis];
		} else value = unslice(e, value, axis, start, steps[i], size);
	});
	return [e.pad(value, before, after)];
};

/** Source index of each padded position, for the modes that repeat elements. */
function sources(mode: string, size: number, before: number, total: number): number[] {
	return Array.from({ length: total }, (_, i) => {
		const at = i - before;
		if (mode === "edge") return Math.min(Math.max(at, 0), size - 1);
		if (mode === "wrap") return ((at % size) + size) % size;
		const period = Math.max(1, 2 * (size - 1));
		const folded = ((at % period) + period) % period;
		return folded < size ? folded : period - folded;
	});
}

const pad: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	const mode = c.text("mode", "constant");
	const pads = c.known(1, "pads");
	const axes = c.inputs[3] ? c.known(3, "axes").map((a) => axisOf(a, x.dims.length)) : x.dims.map((_, i) => i);
	const before = x.dims.map(() => 0);
	axes.forEach((axis, i) => {
		before[axis] = pads[i];
	});
	if (mode === "constant") {
		const cut = before.map((n) => -n);
		const after = x.dims.map((d, i) => d + before[i] - dy.dims[i]);
		const border = () => {
			const within = e.pad(
				e.full(1, dy.type, x.dims),
				before,
				after.map((n) => -n),
			);
			return e.sumTo(e.mul(dy, e.sub(1, within)), c.x(2).dims);
		};
		return [e.pad(dy, cut, after), undefined, c.needs(2) ? border() : undefined];
	}
	return [
		x.dims.reduce<Value>((value, size, axis) => {
			const total = dy.dims[axis];
			if (total > MAX_TABLE) throw c.unsupported(`an axis of ${total} padded in mode ${mode}`, "pad with constants");
			return total === size && before[axis] === 0 ? value : unpick(e, value, axis, sources(mode, size, before[axis], total), size);
		}, dy),
	];
};

/** [a, b] repeated (r, s) times is [r, a, s, b]; the repeats add up. */
const tile: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	const repeats = x.dims.map((d, i) => (d === 0 ? 1 : dy.dims[i] / d));
	const apart = x.dims.flatMap((d, i) => [repeats[i], d]);
	const axes = repeats.map((_, i) => 2 * i).filter((_, i) => repeats[i] > 1);
	return [e.reshape(e.reduce("ReduceSum", e.reshape(dy, apart), axes), x.dims)];
};

/** Both directions are a reshape, a transposition and a reshape; the adjoint runs them backwards. */
function blocks(c: RuleContext, dy: Value, deep: Value, wide: Value): Value {
	const { e } = c;
	const b = c.int("blocksize", 1);
	const [n, , h, w] = deep.dims;
	const channels = wide.dims[1];
	const columnFirst = c.node.op === "SpaceToDepth" || c.text("mode", "DCR") === "DCR";
	const apart = columnFirst ? [n, b, b, channels, h, w] : [n, channels, b, b, h, w];
	// apart -> [n, channels, h, b, w, b]
	const perm = columnFirst ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3];
	if (c.node.op === "SpaceToDepth") return e.reshape(e.transpose(e.reshape(dy, apart), perm), wide.dims);
	const spread = e.reshape(dy, [n, channels, h, b, w, b]);
	return e.reshape(e.transpose(spread, inverse(perm)), deep.dims);
}

export const movement = {
	Reshape: reshaping,
	Flatten: reshaping,
	Squeeze: reshaping,
	Unsqueeze: reshaping,
	Transpose: { vjp: transpose },
	Concat: { vjp: concat },
	Split: { vjp: split, stop: [1] },
	Slice: { vjp: slice, stop: [1, 2, 3, 4] },
	Pad: { vjp: pad, stop: [1, 3] },
	// The walk sums over broadcast axes.
	Expand: { vjp: (_, dy) => [dy], stop: [1] },
	Tile: { vjp: tile, stop: [1] },
	Trilu: { vjp: (c, dy) => [c.e.op("Trilu", [dy, c.inputs[1]], dy.dims, { attributes: { upper: c.int("upper", 1) } })], stop: [1] },
	DepthToSpace: { vjp: (c, dy) => [blocks(c, dy, c.x(), c.y)] },
	SpaceToDepth: { vjp: (c, dy) => [blocks(c, dy, c.y, c.x())] },
} satisfies RuleFamily;
