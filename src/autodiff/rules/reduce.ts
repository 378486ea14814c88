/** @file Reductions. Extremes share the cotangent evenly among ties. */
import { sizeOf } from "../../tensor/tensor.ts";
import type { Value } from "../emit.ts";
import { axisOf, type Rule, type RuleContext, type RuleFamily } from "../rule.ts";

/** Axes that the node reduces over, and a view of an output-shaped value with those axes kept as 1. */
function reduction(c: RuleContext): { axes: number[]; kept: (v: Value) => Value } {
	const x = c.x();
	const rank = x.dims.length;
	const given = c.inputs[1] ? c.known(1, "axes") : (c.ints("axes") ?? []);
	const all = c.int("noop_with_empty_axes", 0) === 1 ? [] : x.dims.map((_, i) => i);
	const axes = given.length > 0 ? given.map((a) => axisOf(a, rank)) : all;
	const dims = x.dims.map((d, i) => (axes.includes(i) ? 1 : d));
	return { axes, kept: (v) => c.e.reshape(v, dims) };
}

interface Parts {
	x: Value;
	/** Output with reduced axes kept. */
	y: Value;
	dy: Value;
	axes: readonly number[];
}

const reducing = (dx: (c: RuleContext, parts: Parts) => Value): Rule => ({
	stop: [1],
	vjp: (c, dy) => {
		const { axes, kept } = reduction(c);
		const x = c.x();
		return [c.e.expand(dx(c, { x, y: kept(c.y), dy: kept(dy), axes }), x.dims)];
	},
});

const extreme = reducing(({ e }, { x, y, dy, axes }) => {
	const hit = e.cast(e.binary("Equal", x, y, "bool"), dy.type);
	return e.mul(hit, e.div(dy, e.reduce("ReduceSum", hit, axes)));
});

export const reduce = {
	ReduceSum: reducing((_, { dy }) => dy),
	ReduceMean: reducing(({ e }, { x, dy, axes }) => e.mul(dy, 1 / sizeOf(axes.map((a) => x.dims[a])))),
	ReduceMax: extreme,
	ReduceMin: extreme,
	// The product of the others: y / x, also where one factor is 0
	ReduceProd: reducing(({ e }, { x, dy, axes }) => {
		const zero = e.binary("Equal", x, 0, "bool");
		const factor = e.where(zero, 1, x);
		const zeros = e.reduce("ReduceSum", e.cast(zero, dy.type), axes);
		const others = e.sub(zeros, e.cast(zero, dy.type));
		const product = e.div(e.reduce("ReduceProd", factor, axes), factor);
		return e.mul(dy, e.where(e.binary("Equal", others, 0, "bool"), product, 0));
	}),
	ReduceL1: reducing(({ e }, { x, dy }) => e.mul(e.unary("Sign", x), dy)),
	// x / |x|, and 0 at the origin
	ReduceL2: reducing(({ e }, { x, y, dy }) => e.mul(x, e.where(e.binary("Equal", y, 0, "bool"), 0, e.div(dy, y)))),
	ReduceSumSquare: reducing(({ e }, { x, dy }) => e.mul(e.mul(x, 2), dy)),
	ReduceLogSumExp: reducing(({ e }, { x, y, dy }) => e.mul(e.unary("Exp", e.sub(x, y)), dy)),
	ReduceLogSum: reducing(({ e }, { y, dy }) => e.div(dy, e.unary("Exp", y))),
	CumSum: {
		stop: [1],
		vjp: (c, dy) => [
			c.e.op("CumSum", [dy, c.x(1)], dy.dims, {
				attributes: { exclusive: c.int("exclusive", 0), reverse: 1 - c.int("reverse", 0) },
			}),
		],
	},
} satisfies RuleFamily;
