/** @file Every rule over random shapes, attributes and values. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkRule, type RuleCase } from "../../../test/support/check-rule.ts";
import { RULE_CASES } from "../../../test/support/rule-cases/index.ts";
import { RULES } from "./index.ts";

const RUNS = Number(process.env.KINTSUGI_RUNS ?? 10);

/** Random cases have gradients that nearly vanish, of which rounding is a large part. */
const floorOf = (c: RuleCase): number => (c.linear ? 1e-5 : 3e-4);

describe("rules", () => {
	it("all have random cases in test/support/rule-cases", () => {
		expect(Object.keys(RULE_CASES).sort()).toEqual([...RULES.keys()].sort());
	});

	it.each(Object.keys(RULE_CASES))("%s", (op) =>
		fc.assert(
			fc.asyncProperty(RULE_CASES[op], (c) => checkRule({ ...c, floor: floorOf(c) })),
			{ numRuns: RUNS, seed: 31 },
		),
	);
});
