import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkRule, x } from "../../../test/support/check-rule.ts";

const SIZE = [8, 7];

const window = fc
	.record({
		kernel: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
		strides: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
		pads: fc.array(fc.nat(1), { minLength: 4, maxLength: 4 }),
		ceil_mode: fc.constantFrom(0, 1),
	})
	// ONNX Runtime refuses padding that is not smaller than the kernel.
	.map((w) => ({ ...w, pads: w.pads.map((p, i) => Math.min(p, w.kernel[i % 2] - 1)) }))
	.filter(
		({ kernel, strides, pads, ceil_mode }) =>
			ceil_mode === 0 || SIZE.every((n, i) => lastStart(n, kernel[i], strides[i], pads[i], pads[i + 2]) < n + pads[i]),
	);

/** Where the last window of an axis starts with ceil_mode. */
const lastStart = (n: number, k: number, s: number, before: number, after: number) => Math.ceil((n + before + after - k) / s) * s;

describe("pooling rules", () => {
	it("MaxPool: overlapping windows, padding, ceil_mode", () =>
		fc.assert(
			fc.asyncProperty(window, ({ kernel, strides, pads, ceil_mode }) =>
				checkRule({
					op: "MaxPool",
					inputs: [x(2, 2, ...SIZE)],
					attributes: { kernel_shape: kernel, strides, pads, ceil_mode },
					sample: "distinct",
				}),
			),
			{ numRuns: 20, seed: 7 },
		));

	it("MaxPool with dilation and auto_pad", async () => {
		await checkRule({
			op: "MaxPool",
			inputs: [x(1, 2, 9, 9)],
			attributes: { kernel_shape: [3, 2], dilations: [2, 3] },
			sample: "distinct",
		});
		await checkRule({
			op: "MaxPool",
			inputs: [x(1, 2, 9, 9)],
			attributes: { kernel_shape: [5, 5], strides: [2, 2], auto_pad: "SAME_UPPER" },
			sample: "distinct",
		});
	});

	it("AveragePool: padding counted or not, ceil_mode", () =>
		fc.assert(
			fc.asyncProperty(window, fc.constantFrom(0, 1), ({ kernel, strides, pads, ceil_mode }, count_include_pad) =>
				checkRule({
					op: "AveragePool",
					inputs: [x(2, 2, ...SIZE)],
					attributes: { kernel_shape: kernel, strides, pads, ceil_mode, count_include_pad },
					linear: true,
				}),
			),
			{ numRuns: 30, seed: 8 },
		));

	it("refuses a last window outside the input, of which ONNX Runtime itself is not sure", () =>
		expect(
			checkRule({ op: "AveragePool", inputs: [x(1, 1, 8, 7)], attributes: { kernel_shape: [1, 1], strides: [2, 1], ceil_mode: 1 } }),
		).rejects.toThrow("ceil_mode"));

	it.each(["GlobalAveragePool", "GlobalMaxPool"])("%s", (op) => checkRule({ op, inputs: [x(2, 3, 4, 5)], sample: "distinct" }));
});
