import { describe, expect, it } from "vitest";
import { criteria, type Judgement } from "./criteria.ts";

const at = (...values: number[]) => Float32Array.from(values);
const clean = at(3, 2, -1, 0);
const truth = at(1, 1, 0, 0);
const thresholds = at(1, 1, 1, 1);
const judge = (logits: Float32Array, extra: Partial<Judgement> = {}) =>
	Object.entries(criteria)
		.filter(([, criterion]) => criterion({ clean, logits, truth, thresholds, ...extra }))
		.map(([name]) => name);

describe("criteria", () => {
	it.each([
		["the same logits", at(3, 2, -1, 0), []],
		["another true label on top", at(2, 3, -1, 0), ["label-changed"]],
		["a wrong label on top, true ones kept", at(3, 2, -1, 4), ["label-changed", "top-label-wrong", "set-changed"]],
		["a true label below its threshold", at(3, 0, -1, 0), ["any-true-label-lost", "set-changed"]],
		["a wrong label above its threshold only", at(3, 2, -1, 1.5), ["set-changed"]],
	])("%s", (_, logits, expected) => {
		expect(judge(logits)).toEqual(expected);
	});

	it("does not count a label that was not found in the clean image as lost", () => {
		expect(criteria["any-true-label-lost"]({ clean: at(3, 0, -1, 0), logits: at(3, -5, -1, 0), truth, thresholds })).toBe(false);
	});

	it("reaches the target only if it is the top label", () => {
		expect(judge(at(3, 2, 5, 0), { target: 2 })).toContain("target-reached");
		expect(judge(at(3, 2, 2.9, 0), { target: 2 })).not.toContain("target-reached");
	});
});
