import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, ints, x } from "../../../test/support/check-rule.ts";
import { tensor } from "../../tensor/tensor.ts";

const axes = fc.uniqueArray(fc.integer({ min: 0, max: 2 }), { maxLength: 3 });

describe("reduction rules", () => {
	it.each([
		"ReduceSum",
		"ReduceMean",
		"ReduceMax",
		"ReduceMin",
		"ReduceL1",
		"ReduceL2",
		"ReduceSumSquare",
		"ReduceLogSumExp",
		"ReduceProd",
	])("%s over any axes, kept or not", (op) =>
		fc.assert(
			fc.asyncProperty(axes, fc.constantFrom(0, 1), fc.boolean(), (list, keepdims, negative) =>
				checkRule({
					op,
					inputs: list.length === 0 ? [x(2, 3, 4)] : [x(2, 3, 4), ints(...list.map((a) => (negative ? a - 3 : a)))],
					attributes: { keepdims },
					sample: "distinct",
					linear: op === "ReduceSum" || op === "ReduceMean",
				}),
			),
			{ numRuns: 8, seed: 10 },
		),
	);

	it("ReduceProd of one and of two zeros", () =>
		checkRule({ op: "ReduceProd", inputs: [{ at: tensor(Float32Array.of(2, 0, 3, 0, 0.5, 0, 1, 2, 3), [3, 3]) }, ints(1)] }));

	it("ReduceLogSum", () => checkRule({ op: "ReduceLogSum", inputs: [x(2, 5), ints(1)], sample: "positive" }));

	it("ReduceSum without axes and noop_with_empty_axes", () =>
		checkRule({ op: "ReduceSum", inputs: [x(2, 3)], attributes: { noop_with_empty_axes: 1 }, linear: true }));
});
