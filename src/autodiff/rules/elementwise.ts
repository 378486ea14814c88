/** @file Arithmetic, element by element. Broadcasting is undone by the walk. Ties are split evenly, bounds are inclusive. */

import { isFloat } from "../../onnx/elements.ts";
import type { Value } from "../emit.ts";
import type { Rule, RuleContext, RuleFamily, Vjp } from "../rule.ts";

const unary = (dx: (c: RuleContext, x: Value, y: Value) => Value): Rule => ({ vjp: (c, dy) => [c.e.mul(dy, dx(c, c.x(), c.y))] });

const pass: Vjp = (_, dy) => [dy];

const pow: Vjp = (c, dy) => {
	const { e, y } = c;
	const x = c.x(0);
	const p = e.cast(c.x(1), x.type);
	const exponents = c.constant(1);
	const only = exponents?.length === 1 ? exponents[0] : undefined;
	const dx = () => {
		if (only === 2) return e.mul(dy, e.mul(x, 2));
		if (only === 1) return dy;
		if (only === 0.5) return e.mul(dy, inverse(c, 0.5, y));
		return e.mul(dy, e.mul(p, e.binary("Pow", x, e.sub(p, 1))));
	};
	// d x^p / dp = x^p ln x, taken as 0 where x <= 0
	const dp = () => e.mul(dy, e.where(e.binary("Greater", x, 0, "bool"), e.mul(y, e.unary("Log", x)), 0));
	return [c.needs(0) ? dx() : undefined, c.needs(1) ? dp() : undefined];
};

/** a / y, and 0 where y = 0: an infinite slope would turn 0 cotangents into NaN. */
const inverse = ({ e }: RuleContext, a: number, y: Value) => e.where(e.binary("Equal", y, 0, "bool"), 0, e.div(a, y));

/** Max and Min: the cotangent is shared evenly among all inputs that reach the extreme. */
const extreme: Vjp = (c, dy) => {
	const { e, y } = c;
	const hits = c.node.inputs.map((_, i) => e.cast(e.binary("Equal", c.x(i), y, "bool"), dy.type));
	const share = hits.length === 1 ? dy : e.div(dy, e.sumAll(hits));
	return hits.map((hit, i) => (c.needs(i) ? e.mul(share, hit) : undefined));
};

/** min(max(x, low), high): x gets dY within the bounds, bounds included; low where x is below it, high where it is exceeded. */
const clip: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	const [low, high] = [c.inputs[1], c.inputs[2]];
	const compare = (op: string, a: Value, b: Value) => e.binary(op, a, b, "bool");
	const above = low && compare("GreaterOrEqual", x, low);
	const below = high && compare("LessOrEqual", x, high);
	const inside = above && below ? e.binary("And", above, below) : (above ?? below);
	const dLow = () => above && e.where(above, 0, low && high ? e.where(compare("LessOrEqual", low, high), dy, 0) : dy);
	const dHigh = () => high && e.where(compare("Greater", low ? e.binary("Max", x, low) : x, high), dy, 0);
	return [inside ? e.where(inside, dy, 0) : dy, c.needs(1) ? dLow() : undefined, c.needs(2) ? dHigh() : undefined];
};

export const elementwise = {
	Identity: { vjp: pass },
	Add: { vjp: (_, dy) => [dy, dy] },
	Sum: { vjp: (c, dy) => c.node.inputs.map(() => dy) },
	Mean: { vjp: (c, dy) => c.node.inputs.map(() => c.e.div(dy, c.node.inputs.length)) },
	Sub: { vjp: (c, dy) => [dy, c.needs(1) ? c.e.unary("Neg", dy) : undefined] },
	Mul: {
		vjp: (c, dy) => [c.needs(0) ? c.e.mul(dy, c.x(1)) : undefined, c.needs(1) ? c.e.mul(dy, c.x(0)) : undefined],
	},
	Div: {
		// d(a/b)/db = -y / b
		vjp: (c, dy) => [
			c.needs(0) ? c.e.div(dy, c.x(1)) : undefined,
			c.needs(1) ? c.e.unary("Neg", c.e.mul(dy, c.e.div(c.y, c.x(1)))) : undefined,
		],
	},
	Pow: { vjp: pow },
	Neg: { vjp: (c, dy) => [c.e.unary("Neg", dy)] },
	Abs: unary(({ e }, x) => e.unary("Sign", x)),
	Exp: unary((_, _x, y) => y),
	Log: unary(({ e }, x) => e.unary("Reciprocal", x)),
	Sqrt: unary((c, _x, y) => inverse(c, 0.5, y)),
	Reciprocal: unary(({ e }, _x, y) => e.unary("Neg", e.mul(y, y))),
	Sin: unary(({ e }, x) => e.unary("Cos", x)),
	Cos: unary(({ e }, x) => e.unary("Neg", e.unary("Sin", x))),
	Tan: unary(({ e }, _x, y) => e.add(e.mul(y, y), 1)),
	Asin: unary((c, x) => inverse(c, 1, c.e.unary("Sqrt", c.e.sub(1, c.e.mul(x, x))))),
	Acos: unary((c, x) => inverse(c, -1, c.e.unary("Sqrt", c.e.sub(1, c.e.mul(x, x))))),
	Sinh: unary(({ e }, x) => e.unary("Cosh", x)),
	Cosh: unary(({ e }, x) => e.unary("Sinh", x)),
	Asinh: unary(({ e }, x) => e.unary("Reciprocal", e.unary("Sqrt", e.add(e.mul(x, x), 1)))),
	Acosh: unary((c, x) => inverse(c, 1, c.e.unary("Sqrt", c.e.sub(c.e.mul(x, x), 1)))),
	Atanh: unary(({ e }, x) => e.unary("Reciprocal", e.sub(1, e.mul(x, x)))),
	Atan: unary(({ e }, x) => e.unary("Reciprocal", e.add(e.mul(x, x), 1))),
	// d erf(x)/dx = 2/sqrt(pi) exp(-x^2)
	Erf: unary(({ e }, x) => e.mul(e.unary("Exp", e.unary("Neg", e.mul(x, x))), 2 / Math.sqrt(Math.PI))),
	Max: { vjp: extreme },
	Min: { vjp: extreme },
	// x - y trunc(x / y)
	Mod: {
		vjp: (c, dy) => {
			const { e } = c;
			const quotient = () => e.div(e.sub(c.x(0), c.y), c.x(1));
			return [dy, c.needs(1) ? e.unary("Neg", e.mul(dy, e.unary("Round", quotient()))) : undefined];
		},
	},
	Where: {
		stop: [0],
		vjp: (c, dy) => [
			undefined,
			c.needs(1) ? c.e.where(c.x(0), dy, 0) : undefined,
			c.needs(2) ? c.e.where(c.x(0), c.e.scalar(0, dy.type), dy) : undefined,
		],
	},
	Clip: { vjp: clip },
	Cast: { vjp: (c, dy) => [isFloat(c.x().type) ? c.e.cast(dy, c.x().type) : undefined] },
	Dropout: {
		stop: [1, 2],
		vjp: (c, dy) => {
			if (c.inputs[2] && c.constant(2)?.[0] !== 0) throw c.unsupported("training mode", "export the model in evaluation mode");
			return [dy];
		},
	},
} satisfies RuleFamily;
