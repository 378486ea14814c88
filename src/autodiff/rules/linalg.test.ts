import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, x } from "../../../test/support/check-rule.ts";
import { float } from "../../onnx/index.ts";

const size = fc.integer({ min: 1, max: 5 });
const bit = fc.constantFrom(0, 1);

describe("linear algebra rules", () => {
	it("MatMul with batches on either side, broadcast", () =>
		fc.assert(
			fc.asyncProperty(
				size,
				size,
				size,
				fc.constantFrom(
					[[], []],
					[[3], []],
					[[], [3]],
					[[2, 3], [3]],
					[
						[2, 1],
						[1, 3],
					],
					[[2], [2]],
				),
				(m, k, n, [a, b]) => checkRule({ op: "MatMul", inputs: [x(...a, m, k), x(...b, k, n)], linear: true }),
			),
			{ numRuns: 15, seed: 3 },
		));

	it.each([
		[[4], [4]],
		[[4], [4, 3]],
		[[2, 3, 4], [4]],
		[[4], [2, 4, 3]],
	])("MatMul of %o and %o", (a, b) => checkRule({ op: "MatMul", inputs: [x(...a), x(...b)], linear: true }));

	it("Gemm in its four forms, with alpha, beta and a broadcast C", () =>
		fc.assert(
			fc.asyncProperty(bit, bit, fc.constantFrom([], [5], [1, 5], [3, 1], [3, 5]), (transA, transB, c) =>
				checkRule({
					op: "Gemm",
					inputs: [transA ? x(4, 3) : x(3, 4), transB ? x(5, 4) : x(4, 5), x(...c)],
					attributes: { transA, transB, alpha: float(0.5), beta: float(2) },
					linear: true,
				}),
			),
			{ numRuns: 16, seed: 4 },
		));
});
