import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, ints, type RuleCase, x } from "../../../test/support/check-rule.ts";
import { sizeOf } from "../../tensor/tensor.ts";

const linear = (c: Omit<RuleCase, "linear">) => checkRule({ ...c, linear: true });

describe("indexing rules", () => {
	it.each([
		["one index", { ints: [1], dims: [] }, 0],
		["the last, as -1", { ints: [-1], dims: [] }, 1],
		["a range", { ints: [1, 2, 3], dims: [3] }, 1],
		["every second, backwards", { ints: [4, 2, 0], dims: [3] }, 1],
		["repeated indices", { ints: [1, 1, 4, 1], dims: [4] }, 1],
		["a table", { ints: [0, 3, 3, -2], dims: [2, 2] }, 1],
	])("Gather: %s", (_, indices, axis) => linear({ op: "Gather", inputs: [x(3, 5, 2), indices], attributes: { axis } }));

	it("GatherElements with repeated indices", () =>
		linear({ op: "GatherElements", inputs: [x(3, 4), { ints: [0, 0, 2, 1, -1, 0], dims: [3, 2] }], attributes: { axis: 1 } }));

	it("GatherND, with any number of batch axes and of indexed axes, indices negative and repeated", () =>
		fc.assert(
			fc.asyncProperty(
				fc.integer({ min: 0, max: 2 }),
				fc.integer({ min: 1, max: 2 }),
				fc.constantFrom([], [3], [2, 3]),
				fc.infiniteStream(fc.nat(1000)),
				(batch_dims, k, picked, stream) => {
					const dims = [2, 3, 4, 2];
					const indexed = dims.slice(batch_dims, batch_dims + k);
					const shape = [...dims.slice(0, batch_dims), ...picked, k];
					const indices = Array.from({ length: sizeOf(shape) }, (_, i) => {
						const size = indexed[i % k];
						return ((stream.next().value as number) % (2 * size)) - size;
					});
					return linear({ op: "GatherND", inputs: [x(...dims), { ints: indices, dims: shape }], attributes: { batch_dims } });
				},
			),
			{ numRuns: 20, seed: 5 },
		));

	it("GatherND adds up what thousands of equal indices send back", () =>
		linear({ op: "GatherND", inputs: [x(2, 8), { ints: Array.from({ length: 30000 }, (_, i) => (i * i) % 2), dims: [30000, 1] }] }));

	it.each(["none", "add"])("ScatterElements with reduction %s", (reduction) =>
		linear({
			op: "ScatterElements",
			inputs: [x(3, 4), { ints: [0, 1, 2, 3, 1, 0], dims: [3, 2] }, x(3, 2)],
			attributes: { axis: 1, reduction },
		}),
	);

	it.each(["none", "add"])("ScatterND with reduction %s", (reduction) =>
		linear({ op: "ScatterND", inputs: [x(4, 3), { ints: [2, 0], dims: [2, 1] }, x(2, 3)], attributes: { reduction } }),
	);

	it("OneHot passes on to its two values", async () => {
		const indices = { ints: [0, 2, 1, -1], dims: [2, 2] };
		await linear({ op: "OneHot", inputs: [indices, ints(3), x(2)] });
		await linear({ op: "OneHot", inputs: [indices, ints(3), x(2)], attributes: { axis: 0 } });
	});

	it("TopK passes on to the chosen values", async () => {
		await checkRule({ op: "TopK", inputs: [x(4, 6), ints(3)], outputs: 2, sample: "distinct" });
		await checkRule({ op: "TopK", inputs: [x(6, 4), ints(2)], attributes: { axis: 0, largest: 0 }, outputs: 2, sample: "distinct" });
	});
});
