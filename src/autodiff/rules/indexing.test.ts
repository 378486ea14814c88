import { describe, it } from "vitest";
import { checkRule, ints, type RuleCase, x } from "../../../test/support/check-rule.ts";

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

	it("GatherND", () => linear({ op: "GatherND", inputs: [x(3, 4, 2), { ints: [0, 1, 0, 1, 2, 3], dims: [3, 2] }] }));

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

	it("TopK passes on to the chosen values", async () => {
		await checkRule({ op: "TopK", inputs: [x(4, 6), ints(3)], outputs: 2, sample: "distinct" });
		await checkRule({ op: "TopK", inputs: [x(6, 4), ints(2)], attributes: { axis: 0, largest: 0 }, outputs: 2, sample: "distinct" });
	});
});
