import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, floats, x } from "../../../test/support/check-rule.ts";
import { float } from "../../onnx/index.ts";

const kinked = { inputs: [x(4, 10)], sample: "distinct" as const };

describe("activation rules", () => {
	it.each([
		"Relu",
		"LeakyRelu",
		"Elu",
		"Sigmoid",
		"Tanh",
		"Softplus",
		"Mish",
		"HardSigmoid",
		"HardSwish",
		"Celu",
		"Selu",
		"Softsign",
		"ThresholdedRelu",
	])("%s", (op) => checkRule({ op, ...kinked }));

	it.each([
		["LeakyRelu", { alpha: float(0.3) }],
		["Elu", { alpha: float(0.7) }],
		["Celu", { alpha: float(0.7) }],
		["Selu", { alpha: float(1.2), gamma: float(0.8) }],
		["ThresholdedRelu", { alpha: float(-0.3) }],
		["HardSigmoid", { alpha: float(0.3), beta: float(0.4) }],
		["Gelu", {}],
		["Gelu", { approximate: "tanh" }],
	])("%s with %o", (op, attributes) => checkRule({ op, attributes, ...kinked }));

	it("PRelu with one slope a channel, and with slopes that are differentiated too", async () => {
		await checkRule({ op: "PRelu", inputs: [x(2, 3, 4), floats([0.1, -0.4, 2], [3, 1])], sample: "distinct" });
		for (const slopes of [[1], [3, 1], [2, 3, 4]]) await checkRule({ op: "PRelu", inputs: [x(2, 3, 4), x(...slopes)], sample: "distinct" });
	});

	it("Swish of opset 24", async () => {
		await checkRule({ op: "Swish", opset: 24, inputs: [x(4, 10)] });
		await checkRule({ op: "Swish", opset: 24, inputs: [x(4, 10)], attributes: { alpha: float(1.7) } });
	});

	it.each(["Gelu", "QuickGelu"])("com.microsoft %s", (op) => checkRule({ op, domain: "com.microsoft", ...kinked }));

	it.each(["Softmax", "LogSoftmax"])("%s along any axis", (op) =>
		fc.assert(
			fc.asyncProperty(
				fc.integer({ min: -3, max: 2 }),
				fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 3, maxLength: 3 }),
				(axis, dims) => checkRule({ op, inputs: [x(...dims)], attributes: { axis } }),
			),
			{ numRuns: 12, seed: 2 },
		),
	);
});
