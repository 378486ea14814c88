/** @file Arithmetic and activations in jax-js, by their definitions in the ONNX standard. */
import { lax, nn, numpy as np } from "@jax-js/jax";
import { type JaxContext, type JaxOperator, upTo } from "./context.ts";

type Unary = (x: np.Array) => np.Array;

const unary: Record<string, Unary> = {
	Abs: np.abs,
	Acos: np.acos,
	Acosh: np.acosh,
	Asin: np.asin,
	Asinh: np.asinh,
	Atan: np.atan,
	Atanh: np.atanh,
	Cast: (x) => x,
	Cos: np.cos,
	Cosh: np.cosh,
	Dropout: (x) => x,
	Erf: lax.erf,
	Exp: np.exp,
	HardSwish: nn.hardSilu,
	Identity: (x) => x,
	Log: np.log,
	Mish: nn.mish,
	Neg: np.negative,
	Reciprocal: np.reciprocal,
	Relu: nn.relu,
	Sigmoid: nn.sigmoid,
	Sin: np.sin,
	Sinh: np.sinh,
	Softplus: nn.softplus,
	Softsign: nn.softSign,
	Sqrt: np.sqrt,
	Tan: np.tan,
	Tanh: np.tanh,
};

/** All inputs, from left to right. */
const folded =
	(join: (a: np.Array, b: np.Array) => np.Array): JaxOperator =>
	(c) =>
		upTo(c.count)
			.map((i) => c.x(i))
			.reduce(join);

const binary =
	(f: (a: np.Array, b: np.Array) => np.Array): JaxOperator =>
	(c) =>
		f(c.x(0), c.x(1));

/** a where x > limit, b elsewhere */
const above = (c: JaxContext, limit: number, a: np.Array, b: np.Array) => np.where(np.greater(c.x(), limit), a, b);

const swish = (c: JaxContext, alpha: number) => np.multiply(c.x(), nn.sigmoid(np.multiply(c.x(), alpha)));

/** exp(x / scale) - 1 */
const grown = (c: JaxContext, scale = 1) => np.subtract(np.exp(np.multiply(c.x(), 1 / scale)), 1);

export const elementwise: Record<string, JaxOperator> = {
	...Object.fromEntries(Object.entries(unary).map(([op, f]): [string, JaxOperator] => [op, (c) => f(c.x())])),
	Sum: folded(np.add),
	Mean: (c) => np.multiply(folded(np.add)(c), 1 / c.count),
	Max: folded(np.maximum),
	Min: folded(np.minimum),
	Add: binary(np.add),
	Sub: binary(np.subtract),
	Mul: binary(np.multiply),
	Div: binary(np.trueDivide),
	Pow: binary(np.power),
	Mod: binary(np.fmod),
	Where: (c) => np.where(c.x(0), c.x(1), c.x(2)),
	Clip: (c) => {
		const raised = c.has(1) ? np.maximum(c.x(0), c.x(1)) : c.x(0);
		return c.has(2) ? np.minimum(raised, c.x(2)) : raised;
	},
	LeakyRelu: (c) => nn.leakyRelu(c.x(), c.float("alpha", 0.01)),
	PRelu: (c) => above(c, 0, c.x(), np.multiply(c.x(0), c.x(1))),
	Elu: (c) => nn.elu(c.x(), c.float("alpha", 1)),
	Celu: (c) => nn.celu(c.x(), c.float("alpha", 1)),
	Selu: (c) => {
		const gamma = c.float("gamma", 1.0507009873554805);
		const alpha = c.float("alpha", 1.6732632423543772);
		return above(c, 0, np.multiply(c.x(), gamma), np.multiply(grown(c), gamma * alpha));
	},
	ThresholdedRelu: (c) => above(c, c.float("alpha", 1), c.x(), np.zerosLike(c.x())),
	HardSigmoid: (c) => np.clip(np.add(np.multiply(c.x(), c.float("alpha", 0.2)), c.float("beta", 0.5)), 0, 1),
	Swish: (c) => swish(c, c.float("alpha", 1)),
	"com.microsoft:QuickGelu": (c) => swish(c, c.float("alpha", 1.702)),
	Gelu: (c) => nn.gelu(c.x(), { approximate: c.text("approximate", "none") === "tanh" }),
	"com.microsoft:Gelu": (c) => nn.gelu(c.x(), { approximate: false }),
	Softmax: (c) => nn.softmax(c.x(), c.int("axis", -1)),
	LogSoftmax: (c) => nn.logSoftmax(c.x(), c.int("axis", -1)),
};
