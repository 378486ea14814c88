import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, ints, type RuleCase, x } from "../../../test/support/check-rule.ts";

const linear = (c: Omit<RuleCase, "linear">) => checkRule({ ...c, linear: true });

describe("movement rules", () => {
	it("Reshape, Flatten, Squeeze, Unsqueeze", async () => {
		await linear({ op: "Reshape", inputs: [x(2, 3, 4), ints(0, -1)] });
		await linear({ op: "Flatten", inputs: [x(2, 3, 4)], attributes: { axis: 2 } });
		await linear({ op: "Squeeze", inputs: [x(2, 1, 4, 1), ints(1)] });
		await linear({ op: "Squeeze", inputs: [x(2, 1, 4, 1)] });
		await linear({ op: "Unsqueeze", inputs: [x(2, 3), ints(0, -1)] });
	});

	it("Transpose by any permutation", () =>
		fc.assert(
			fc.asyncProperty(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), (perm) =>
				linear({ op: "Transpose", inputs: [x(2, 3, 4, 5)], attributes: { perm } }),
			),
			{ numRuns: 6, seed: 11 },
		));

	it("Transpose without perm reverses", () => linear({ op: "Transpose", inputs: [x(2, 3, 4)] }));

	it("Concat and Split, equal and uneven, with unused outputs", async () => {
		await linear({ op: "Concat", inputs: [x(2, 3), x(2, 1), x(2, 4)], attributes: { axis: -1 } });
		for (const of of [0, 1, 2]) {
			await linear({ op: "Split", inputs: [x(2, 7), ints(2, 4, 1)], attributes: { axis: 1 }, outputs: 3, of });
			await linear({ op: "Split", inputs: [x(7, 2)], attributes: { num_outputs: 3 }, outputs: 3, of });
		}
	});

	it("Slice: any start, end and step on any axis", () =>
		fc.assert(
			fc.asyncProperty(
				fc.integer({ min: -9, max: 9 }),
				fc.integer({ min: -9, max: 9 }),
				fc.constantFrom(-3, -2, -1, 1, 2, 3),
				fc.integer({ min: -2, max: 1 }),
				async (start, end, step, axis) => {
					const picked = pythonSlice(8, start, end, step);
					fc.pre(picked > 0);
					await linear({ op: "Slice", inputs: [x(8, 8), ints(start), ints(end), ints(axis), ints(step)] });
				},
			),
			{ numRuns: 30, seed: 12 },
		));

	it("Slice of several axes, to the end", async () => {
		await linear({ op: "Slice", inputs: [x(5, 6, 7), ints(1, -1), ints(2 ** 40, -(2 ** 40)), ints(0, 2), ints(1, -2)] });
		await linear({ op: "Slice", inputs: [x(5, 6), ints(1, 2), ints(3, 6)] });
	});

	it.each(["constant", "reflect", "edge", "wrap"])("Pad in mode %s", async (mode) => {
		await linear({ op: "Pad", inputs: [x(2, 5, 6), ints(0, 1, 3, 0, 2, 0)], attributes: { mode } });
		await linear({ op: "Pad", inputs: [x(2, 5, 6), ints(2, 1), undefined, ints(-1)], attributes: { mode } });
	});

	it("Pad with a value that is differentiated", async () => {
		await linear({ op: "Pad", inputs: [x(5, 6), ints(1, 0, 2, 3), x()] });
		await linear({ op: "Pad", inputs: [x(5, 6), ints(1, -2, -1, 3), x()] });
	});

	it("Pad that cuts", () => linear({ op: "Pad", inputs: [x(5, 6), ints(-1, 2, 1, -3)] }));

	it("Expand and Tile", async () => {
		await linear({ op: "Expand", inputs: [x(3, 1), ints(2, 1, 4)] });
		await linear({ op: "Tile", inputs: [x(2, 3), ints(3, 2)] });
	});

	it.each([0, 1])("Trilu, upper %i", async (upper) => {
		await linear({ op: "Trilu", inputs: [x(2, 4, 5), { ints: [-1], dims: [] }], attributes: { upper } });
		await linear({ op: "Trilu", inputs: [x(4, 3)], attributes: { upper } });
	});

	it.each(["DCR", "CRD"])("DepthToSpace in mode %s", (mode) =>
		linear({ op: "DepthToSpace", inputs: [x(2, 12, 2, 3)], attributes: { blocksize: 2, mode } }),
	);

	it("SpaceToDepth", () => linear({ op: "SpaceToDepth", inputs: [x(2, 3, 4, 6)], attributes: { blocksize: 2 } }));
});

/** Number of elements that a Python slice picks. */
function pythonSlice(size: number, start: number, end: number, step: number): number {
	const clamp = (v: number) => Math.min(Math.max(v < 0 ? v + size : v, step < 0 ? -1 : 0), step < 0 ? size - 1 : size);
	return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step));
}
