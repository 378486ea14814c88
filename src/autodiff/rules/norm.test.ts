import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkRule, floats, x } from "../../../test/support/check-rule.ts";
import { float } from "../../onnx/index.ts";

const wave = (n: number, offset = 0) => floats(Array.from({ length: n }, (_, i) => offset + Math.sin(i + 1)));

describe("normalisation rules", () => {
	it("LayerNormalization over the last axes", () =>
		fc.assert(
			fc.asyncProperty(fc.constantFrom(-1, -2, 1, 2), fc.boolean(), (axis, bias) => {
				const dims = [3, 4, 6].slice(axis);
				const scale = {
					constant: {
						dtype: "float32" as const,
						dims,
						data: Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.cos(i)),
					},
				};
				return checkRule({
					op: "LayerNormalization",
					inputs: bias ? [x(3, 4, 6), scale, scale] : [x(3, 4, 6), scale],
					attributes: { axis },
				});
			}),
			{ numRuns: 8, seed: 9 },
		));

	it("InstanceNormalization", () =>
		checkRule({ op: "InstanceNormalization", inputs: [x(2, 3, 4, 5), wave(3), wave(3)], attributes: { epsilon: float(1e-3) } }));

	it.each([
		[20, 2],
		[21, 6],
	])("GroupNormalization in the form of opset %i", (opset, parameters) =>
		checkRule({
			op: "GroupNormalization",
			opset,
			inputs: [x(2, 6, 4, 3), wave(parameters), wave(parameters)],
			attributes: { num_groups: 2 },
		}),
	);

	it("BatchNormalization at inference", () =>
		checkRule({ op: "BatchNormalization", inputs: [x(2, 4, 3, 3), wave(4), wave(4), wave(4), wave(4, 2)], linear: true }));

	it("BatchNormalization refuses statistics that are differentiated", async () => {
		const differentiated = checkRule({ op: "BatchNormalization", inputs: [x(2, 4, 3, 3), wave(4), wave(4), x(4), wave(4, 2)] });
		await expect(differentiated).rejects.toThrow("gradient of its statistics");
	});

	it("LpNormalization", () => checkRule({ op: "LpNormalization", inputs: [x(3, 4)], attributes: { axis: 1, p: 2 } }));

	it("RMSNormalization", () => checkRule({ op: "RMSNormalization", opset: 23, inputs: [x(3, 4), wave(4)] }));
});
