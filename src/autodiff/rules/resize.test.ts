import { describe, expect, it } from "vitest";
import { checkRule, floats, ints, x } from "../../../test/support/check-rule.ts";
import { type AttributeInput, float } from "../../onnx/index.ts";

const to = (...sizes: number[]) => [undefined, undefined, ints(...sizes)];

const MODES: [string, Record<string, AttributeInput>][] = [
	["linear", { mode: "linear" }],
	["linear, aligned corners", { mode: "linear", coordinate_transformation_mode: "align_corners" }],
	["linear, pytorch_half_pixel", { mode: "linear", coordinate_transformation_mode: "pytorch_half_pixel" }],
	["linear, asymmetric", { mode: "linear", coordinate_transformation_mode: "asymmetric" }],
	["linear, antialiased", { mode: "linear", antialias: 1 }],
	["cubic", { mode: "cubic" }],
	["cubic as Pillow", { mode: "cubic", antialias: 1, exclude_outside: 1, cubic_coeff_a: float(-0.5) }],
	["nearest", { mode: "nearest" }],
	["nearest, ceil", { mode: "nearest", nearest_mode: "ceil", coordinate_transformation_mode: "asymmetric" }],
];

describe("Resize", () => {
	it.each(MODES)("%s, to sizes", async (_, attributes) => {
		await checkRule({ op: "Resize", inputs: [x(2, 3, 9, 7), ...to(2, 3, 4, 11)], attributes, linear: true });
		await checkRule({ op: "Resize", inputs: [x(1, 2, 5, 6), ...to(1, 2, 5, 3)], attributes, linear: true });
	});

	it.each(MODES)("%s, by scales that do not divide", (_, attributes) =>
		checkRule({ op: "Resize", inputs: [x(1, 2, 5, 8), undefined, floats([1, 1, 1.7, 0.6])], attributes, linear: true }),
	);

	it("nearest, enlarged by whole numbers, in the form of PyTorch", () =>
		checkRule({
			op: "Resize",
			inputs: [x(2, 3, 4, 5), undefined, floats([1, 1, 2, 3])],
			attributes: { mode: "nearest", nearest_mode: "floor", coordinate_transformation_mode: "asymmetric" },
			linear: true,
		}));

	it("by scales that leave the size of an axis, or whose result an integer factor only resembles", async () => {
		for (const mode of ["linear", "cubic"]) {
			await checkRule({ op: "Resize", inputs: [x(1, 2, 2, 2), undefined, floats([1, 1, 0.5, 1.05])], attributes: { mode }, linear: true });
			await checkRule({ op: "Resize", inputs: [x(1, 2, 5, 4), undefined, floats([1, 1, 1.1, 1.05])], attributes: { mode }, linear: true });
		}
		const attributes = { mode: "nearest", nearest_mode: "floor", coordinate_transformation_mode: "asymmetric" };
		await checkRule({ op: "Resize", inputs: [x(1, 2, 2, 3), undefined, floats([1, 1, 2.3, 1.3])], attributes, linear: true });
	});

	it("refuses scales of which ONNX Runtime itself makes two sizes", () =>
		expect(
			checkRule({ op: "Resize", inputs: [x(1, 2, 2, 5), undefined, floats([1, 1, 2, 1.4])], attributes: { mode: "linear" } }),
		).rejects.toThrow("instead of scales"));

	it("with one scale for all axes, unless it rounds", async () => {
		const attributes = { mode: "linear", axes: [2, 3], keep_aspect_ratio_policy: "not_larger" };
		await checkRule({ op: "Resize", inputs: [x(1, 2, 4, 6), undefined, undefined, ints(2, 9)], attributes, linear: true });
		await expect(checkRule({ op: "Resize", inputs: [x(1, 2, 5, 7), undefined, undefined, ints(3, 6)], attributes })).rejects.toThrow(
			"not_larger",
		);
	});

	it("of the last two axes only", () =>
		checkRule({
			op: "Resize",
			inputs: [x(1, 2, 6, 6), undefined, undefined, ints(3, 4)],
			attributes: { mode: "linear", axes: [2, 3] },
			linear: true,
		}));

	it.each(["linear", "cubic", "nearest"])("%s of a region, as tf_crop_and_resize", async (mode) => {
		const attributes = { mode, coordinate_transformation_mode: "tf_crop_and_resize", extrapolation_value: float(0) };
		const region = floats([0, 0, 0.2, 0.1, 1, 1, 0.9, 1.3]);
		for (const size of [
			[4, 11],
			[9, 7],
			[1, 3],
		]) {
			await checkRule({ op: "Resize", inputs: [x(2, 3, 9, 7), region, undefined, ints(2, 3, ...size)], attributes, linear: true });
		}
		const spatial = { ...attributes, axes: [2, 3] };
		await checkRule({
			op: "Resize",
			inputs: [x(1, 2, 9, 7), floats([-0.1, 0, 0.5, 0.8]), floats([0.7, 2])],
			attributes: spatial,
			linear: true,
		});
		// What is extrapolated is no function of the input.
		const constant = { ...attributes, extrapolation_value: float(5) };
		await checkRule({
			op: "Resize",
			inputs: [x(2, 3, 9, 7), region, undefined, ints(2, 3, 4, 11)],
			attributes: constant,
			step: 1,
			tolerance: 1e-4,
		});
	});
});
