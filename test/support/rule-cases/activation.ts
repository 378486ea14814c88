/** @file Cases of activations. Values keep away from the multiples of 0.05, at which kinks lie. */
import fc from "fast-check";
import { float } from "../../../src/onnx/index.ts";
import { random } from "../../../src/tensor/random.ts";
import { sizeOf, type Tensor, tensor } from "../../../src/tensor/tensor.ts";
import { type RuleCase, x } from "../check-rule.ts";
import { dims, each, type RuleCases, range, real, seed } from "./arbitraries.ts";

const KINKED = ["Relu", "HardSwish", "Softsign", "Sigmoid", "Tanh", "Softplus", "Mish"];

/** Operators with attributes of type float, and their ranges. */
const SHAPED: Record<string, Record<string, [number, number]>> = {
	LeakyRelu: { alpha: [-0.5, 0.5] },
	Elu: { alpha: [0.2, 2] },
	Celu: { alpha: [0.3, 2] },
	Selu: { alpha: [0.5, 2], gamma: [0.5, 2] },
	ThresholdedRelu: { alpha: [-0.5, 1.5] },
	HardSigmoid: { alpha: [0.2, 0.6], beta: [0.2, 0.8] },
	"com.microsoft:QuickGelu": { alpha: [0.5, 2] },
};

/** Either the defaults, or a value for each attribute. */
const attributesOf = (op: string): fc.Arbitrary<RuleCase["attributes"]> =>
	fc.oneof(
		fc.constant({}),
		fc.record(
			Object.fromEntries(Object.entries(SHAPED[op] ?? {}).map(([name, [low, high]]) => [name, real(low, high).map((v) => float(v))])),
		),
	);

const activated = (key: string): fc.Arbitrary<RuleCase> => {
	const [domain, op] = key.includes(":") ? key.split(":") : ["", key];
	return fc
		.tuple(dims(0, 3), attributesOf(key), seed)
		.map(([d, attributes = {}, s]) => ({ op, domain, inputs: [{ at: offGrid(d, s) }], attributes }));
};

/** Values between -3.5 and 3.5, at least 0.015 away from the multiples of 0.05. */
function offGrid(shape: readonly number[], key: number): Tensor {
	const { int, uniform } = random("off grid", key);
	return tensor(
		Float32Array.from({ length: sizeOf(shape) }, () => (int(140) - 70) * 0.05 + 0.015 + 0.02 * uniform()),
		shape,
	);
}

const alongAxis = (op: string): fc.Arbitrary<RuleCase> =>
	dims(1, 4).chain((d) =>
		fc.tuple(fc.option(range(-d.length, d.length - 1), { nil: undefined }), seed).map(([axis, s]) => ({
			op,
			inputs: [x(...d)],
			attributes: axis === undefined ? {} : { axis },
			seed: s,
		})),
	);

export const activation: RuleCases = {
	...each([...KINKED, ...Object.keys(SHAPED), "com.microsoft:Gelu"], activated),
	...each(["Softmax", "LogSoftmax"], alongAxis),
	Gelu: fc.tuple(activated("Gelu"), fc.constantFrom("none", "tanh")).map(([c, approximate]) => ({ ...c, attributes: { approximate } })),
	Swish: fc.tuple(activated("Swish"), real(0.5, 2)).map(([c, alpha]) => ({ ...c, opset: 24, attributes: { alpha: float(alpha) } })),
	PRelu: fc
		.tuple(dims(1, 4), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.nat(3), fc.boolean(), seed)
		.map(([d, ones, dropped, differentiated, s]) => {
			const slope = d.map((n, i) => (ones[i] ? 1 : n)).slice(Math.min(dropped, d.length - 1));
			const values = tensor(random("slope", s).uniforms(sizeOf(slope), -1, 2), slope);
			return { op: "PRelu", inputs: [{ at: offGrid(d, s) }, differentiated ? { at: values } : { constant: values }] };
		}),
};
