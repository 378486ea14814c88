import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, x } from "../../../test/support/check-rule.ts";

const shape = fc.record({
	group: fc.constantFrom(1, 1, 2, 3),
	channels: fc.integer({ min: 1, max: 2 }),
	filters: fc.integer({ min: 1, max: 2 }),
	kernel: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
	strides: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 })),
	dilations: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
	pads: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 4, maxLength: 4 }),
	size: fc.tuple(fc.integer({ min: 7, max: 10 }), fc.integer({ min: 7, max: 10 })),
});

describe("convolution rules", () => {
	it("Conv: any stride, dilation, group and padding", () =>
		fc.assert(
			fc.asyncProperty(shape, ({ group, channels, filters, kernel, strides, dilations, pads, size }) =>
				checkRule({
					op: "Conv",
					inputs: [
						x(2, group * channels, ...size),
						group === 1 ? x(filters, channels, ...kernel) : constant(group * filters, channels, ...kernel),
						x(group * filters),
					],
					attributes: { group, strides, dilations, pads, kernel_shape: kernel },
					linear: true,
				}),
			),
			{ numRuns: 40, seed: 5 },
		));

	it.each([
		["SAME_UPPER", 1],
		["SAME_LOWER", 2],
		["SAME_UPPER", 3],
		["VALID", 2],
	])("Conv with auto_pad %s, stride %i", (auto_pad, stride) =>
		checkRule({ op: "Conv", inputs: [x(1, 2, 8, 9), x(3, 2, 3, 4)], attributes: { auto_pad, strides: [stride, stride] }, linear: true }),
	);

	it("Conv in one and three dimensions", async () => {
		await checkRule({ op: "Conv", inputs: [x(2, 3, 11), x(4, 3, 3)], attributes: { strides: [2], pads: [1, 0] }, linear: true });
		await checkRule({ op: "Conv", inputs: [x(1, 2, 4, 5, 6), x(2, 2, 2, 3, 2)], attributes: { pads: [0, 1, 1, 1, 1, 0] }, linear: true });
	});

	it("ConvTranspose: any stride, dilation, group, padding and output padding", () =>
		fc.assert(
			fc.asyncProperty(
				shape,
				fc.tuple(fc.nat(1), fc.nat(1)),
				({ group, channels, filters, kernel, strides, dilations, pads, size }, extra) => {
					const output_padding = extra.map((n, i) => Math.min(n, strides[i] - 1));
					return checkRule({
						op: "ConvTranspose",
						inputs: [x(2, group * channels, size[0] - 3, size[1] - 3), constant(group * channels, filters, ...kernel), x(group * filters)],
						attributes: { group, strides, dilations, pads: pads.map((p) => Math.min(p, 1)), output_padding },
						linear: true,
					});
				},
			),
			{ numRuns: 25, seed: 6 },
		));
});

function constant(...dims: number[]) {
	const n = dims.reduce((a, b) => a * b, 1);
	return { constant: { dtype: "float32" as const, dims, data: Float32Array.from({ length: n }, (_, i) => Math.sin(i + 1)) } };
}
