import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, x } from "../../../test/support/check-rule.ts";
import { float } from "../../onnx/index.ts";

describe("LRN", () => {
	it("over any number of channels", () =>
		fc.assert(
			fc.asyncProperty(fc.integer({ min: 1, max: 7 }), fc.constantFrom(1, 3, 5, 7), (channels, size) =>
				checkRule({
					op: "LRN",
					inputs: [x(2, channels, 3, 2)],
					attributes: { size, alpha: float(0.5), beta: float(0.6), bias: float(1.5) },
				}),
			),
			{ numRuns: 15, seed: 30 },
		));

	it("with its defaults", () => checkRule({ op: "LRN", inputs: [x(2, 8, 3, 2)], attributes: { size: 5 } }));
});
