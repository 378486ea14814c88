import fc from "fast-check";
import { describe, it } from "vitest";
import { checkRule, floats, ints, type RuleCase, x } from "../../../test/support/check-rule.ts";
import { tensor } from "../../tensor/tensor.ts";

const dims = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });

/** Two shapes that broadcast: leading axes dropped, single axes set to 1. */
const broadcastPair = fc
	.tuple(dims, fc.array(fc.constantFrom("both", "left", "right"), { minLength: 4, maxLength: 4 }), fc.nat(2), fc.boolean())
	.map(([base, kinds, dropped, swap]): [number[], number[]] => {
		const left = base.map((d, i) => (kinds[i] === "left" ? 1 : d));
		const right = base.map((d, i) => (kinds[i] === "right" ? 1 : d)).slice(Math.min(dropped, base.length - 1));
		return swap ? [right, left] : [left, right];
	});

const check = (cases: readonly RuleCase[]) => Promise.all(cases.map(checkRule));

describe("elementwise rules", () => {
	it.each(["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"])("%s undoes any broadcasting", async (op) => {
		const sample = op === "Div" || op === "Pow" ? "positive" : "distinct";
		await fc.assert(
			fc.asyncProperty(broadcastPair, ([a, b]) =>
				checkRule({
					op,
					inputs: [x(...a), x(...b)],
					sample,
					linear: op === "Add" || op === "Sub",
					...(op === "Pow" ? { tolerance: 1e-2 } : {}),
				}),
			),
			{ numRuns: 12, seed: 1 },
		);
	});

	it.each(["Neg", "Identity", "Abs", "Exp", "Sin", "Cos", "Atan", "Erf"])("%s", (op) =>
		checkRule({ op, inputs: [x(3, 5)], sample: "distinct" }),
	);

	it.each(["Log", "Sqrt", "Reciprocal"])("%s", (op) => checkRule({ op, inputs: [x(3, 5)], sample: "positive" }));

	it.each(["Tan", "Asin", "Acos", "Sinh", "Cosh", "Asinh", "Atanh"])("%s between -1 and 1", (op) =>
		checkRule({ op, inputs: [x(15)], sample: "distinct", step: 5e-4 }),
	);

	it("Acosh above 1", () => checkRule({ op: "Acosh", inputs: [{ at: tensor(Float32Array.of(1.3, 2, 5.5), [3]) }] }));

	it("Mod of floats, with respect to both", async () => {
		const divisor = { at: tensor(Float32Array.of(0.57, -1.13, 0.83), [3]) };
		await checkRule({ op: "Mod", inputs: [x(6, 3), divisor], attributes: { fmod: 1 }, sample: "distinct" });
	});

	it("Sum and Mean of several, broadcast", () =>
		check(["Sum", "Mean"].map((op) => ({ op, inputs: [x(2, 3), x(3), x(2, 1)], linear: true }))));

	it("Pow with constant exponents", () =>
		check([2, 3, 0.5, 1, -1].map((p) => ({ op: "Pow", inputs: [x(4, 3), floats([p], [])], sample: "positive" }))));

	it("Clip with both, one and no bound", () =>
		check([
			{ op: "Clip", inputs: [x(30), floats([-0.5], []), floats([0.7], [])], sample: "distinct" },
			{ op: "Clip", inputs: [x(30), undefined, floats([0.7], [])], sample: "distinct" },
			{ op: "Clip", inputs: [x(30), floats([-0.5], [])], sample: "distinct" },
			{ op: "Clip", inputs: [x(30)], sample: "distinct" },
		]));

	it("Clip with bounds that are differentiated, crossing or not", async () => {
		const scalar = (value: number) => ({ at: tensor(Float32Array.of(value), []) });
		await check([
			{ op: "Clip", inputs: [x(30), scalar(-0.52), scalar(0.71)], sample: "distinct" },
			{ op: "Clip", inputs: [x(30), scalar(0.71), scalar(-0.52)], sample: "distinct" },
			{ op: "Clip", inputs: [x(30), undefined, scalar(0.71)], sample: "distinct" },
			{ op: "Clip", inputs: [x(30), scalar(0.71)], sample: "distinct" },
		]);
	});

	it("Cast between float types and Dropout at inference", () =>
		check([
			{ op: "Cast", inputs: [x(7)], attributes: { to: 1 }, linear: true },
			{ op: "Dropout", inputs: [x(7)], linear: true },
		]));

	it("CumSum in both directions", () =>
		check([
			{ op: "CumSum", inputs: [x(3, 5), { ints: [1], dims: [] }], linear: true },
			{ op: "CumSum", inputs: [x(3, 5), { ints: [0], dims: [] }], attributes: { reverse: 1, exclusive: 1 }, linear: true },
		]));

	it("does not use the int operand of a rule", () => checkRule({ op: "Expand", inputs: [x(1, 3), ints(2, 4, 3)], linear: true }));
});
