/** @file Activations and softmax. At a kink the slope of the left side is taken (Relu'(0) = 0), as PyTorch does. */
import type { Value } from "../emit.ts";
import { axisOf, type Rule, type RuleContext, type RuleFamily, type Vjp } from "../rule.ts";
import { geluSlope, sigmoidSlope, step, swishSlope } from "../slopes.ts";

const slope = (d: (c: RuleContext, x: Value, y: Value) => Value): Rule => ({ vjp: (c, dy) => [c.e.mul(dy, d(c, c.x(), c.y))] });

const positive = ({ e }: RuleContext, x: Value) => e.binary("Greater", x, 0, "bool");

/** y (dy - sum(dy y)) */
const softmax: Vjp = (c, dy) => {
	const { e, y } = c;
	const weighted = e.mul(dy, y);
	const total = e.reduce("ReduceSum", weighted, [axisOf(c.int("axis", -1), y.dims.length)]);
	return [e.sub(weighted, e.mul(y, total))];
};

/** dy - exp(y) sum(dy) */
const logSoftmax: Vjp = (c, dy) => {
	const { e, y } = c;
	const total = e.reduce("ReduceSum", dy, [axisOf(c.int("axis", -1), y.dims.length)]);
	return [e.sub(dy, e.mul(e.unary("Exp", y), total))];
};

/** x sigmoid(a x) */
const swish = ({ e }: RuleContext, x: Value, y: Value, a: number): Value =>
	swishSlope(e, y, e.unary("Sigmoid", a === 1 ? x : e.mul(x, a)), a);

/** With t = tanh(k (x + 0.044715 x^3)), k = sqrt(2 / pi): 0.5 (1 + t) + 0.5 x (1 - t^2) k (1 + 3 * 0.044715 x^2) */
function geluTanh({ e }: RuleContext, x: Value): Value {
	const k = Math.sqrt(2 / Math.PI);
	const square = e.mul(x, x);
	const t = e.unary("Tanh", e.mul(x, e.add(e.mul(square, k * 0.044715), k)));
	const inner = e.add(e.mul(square, 3 * 0.044715 * k), k);
	const second = e.mul(e.mul(x, e.sub(1, e.mul(t, t))), inner);
	return e.mul(e.add(e.add(t, 1), second), 0.5);
}

const linearWithin = (c: RuleContext, x: Value, low: number, high: number, inside: number | Value): Value => {
	const { e } = c;
	const within = e.binary("And", e.binary("Greater", x, low, "bool"), e.binary("Less", x, high, "bool"));
	return e.where(within, typeof inside === "number" ? e.scalar(inside, x.type) : inside, e.scalar(0, x.type));
};

export const activation = {
	Relu: { vjp: (c, dy) => [c.e.mul(dy, step(c.e, c.y))] },
	LeakyRelu: { vjp: (c, dy) => [c.e.where(positive(c, c.x()), dy, c.e.mul(dy, c.float("alpha", 0.01)))] },
	PRelu: {
		vjp: (c, dy) => {
			const { e } = c;
			const [x, alpha] = [c.x(0), c.x(1)];
			const above = positive(c, x);
			return [
				c.needs(0) ? e.where(above, dy, e.mul(dy, alpha)) : undefined,
				c.needs(1) ? e.where(above, e.scalar(0, dy.type), e.mul(dy, x)) : undefined,
			];
		},
	},
	// y + alpha = alpha exp(x) for x <= 0
	Elu: { vjp: (c, dy) => [c.e.where(positive(c, c.x()), dy, c.e.mul(dy, c.e.add(c.y, c.float("alpha", 1))))] },
	// y + alpha = alpha exp(x / alpha) for x <= 0
	Celu: {
		vjp: (c, dy) => {
			const alpha = c.float("alpha", 1);
			return [c.e.where(positive(c, c.x()), dy, c.e.mul(dy, c.e.add(c.e.div(c.y, alpha), 1)))];
		},
	},
	// y + gamma alpha = gamma alpha exp(x) for x <= 0
	Selu: {
		vjp: (c, dy) => {
			const { e } = c;
			const [alpha, gamma] = [c.float("alpha", 1.6732632), c.float("gamma", 1.050701)];
			return [e.mul(dy, e.where(positive(c, c.x()), e.scalar(gamma, dy.type), e.add(c.y, gamma * alpha)))];
		},
	},
	ThresholdedRelu: { vjp: (c, dy) => [c.e.where(c.e.binary("Greater", c.x(), c.float("alpha", 1), "bool"), dy, 0)] },
	// x / (1 + |x|): (1 - |y|)^2
	Softsign: slope(({ e }, _x, y) => {
		const rest = e.sub(1, e.unary("Abs", y));
		return e.mul(rest, rest);
	}),
	Sigmoid: slope(({ e }, _x, y) => sigmoidSlope(e, y)),
	Tanh: slope(({ e }, _x, y) => e.sub(1, e.mul(y, y))),
	Softplus: slope(({ e }, x) => e.unary("Sigmoid", x)),
	Swish: slope((c, x, y) => swish(c, x, y, c.float("alpha", 1))),
	// x tanh(softplus(x)), with t = tanh(softplus(x)): t + x (1 - t^2) sigmoid(x)
	Mish: slope(({ e }, x) => {
		const t = e.unary("Tanh", e.unary("Softplus", x));
		return e.add(t, e.mul(e.mul(x, e.unary("Sigmoid", x)), e.sub(1, e.mul(t, t))));
	}),
	HardSigmoid: slope((c, x) => {
		const [alpha, beta] = [c.float("alpha", 0.2), c.float("beta", 0.5)];
		return linearWithin(c, x, -beta / alpha, (1 - beta) / alpha, alpha);
	}),
	// x clip(x/6 + 1/2, 0, 1): (2x + 3) / 6 in (-3, 3), 1 above
	HardSwish: slope((c, x) => {
		const { e } = c;
		return e.where(e.binary("GreaterOrEqual", x, 3, "bool"), e.scalar(1, x.type), linearWithin(c, x, -3, 3, e.add(e.div(x, 3), 0.5)));
	}),
	Gelu: slope((c, x) => (c.text("approximate", "none") === "tanh" ? geluTanh(c, x) : geluSlope(c.e, x))),
	"com.microsoft:Gelu": slope(({ e }, x) => geluSlope(e, x)),
	"com.microsoft:QuickGelu": slope((c, x, y) => swish(c, x, y, c.float("alpha", 1.702))),
	Softmax: { vjp: softmax },
	LogSoftmax: { vjp: logSoftmax },
} satisfies RuleFamily;
