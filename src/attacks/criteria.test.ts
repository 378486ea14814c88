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
		expect(judge(at(3, 2, 5, 0), { target: [2] })).toContain("target-reached");
		expect(judge(at(3, 2, 2.9, 0), { target: [2] })).not.toContain("target-reached");
	});

	it("reaches a set of targets if they are the top labels, or, as a set, if they alone are above their thresholds", () => {
		const reached = (...logits: number[]) => judge(at(...logits), { target: [3, 2] }).filter((name) => name.startsWith("target"));
		expect(reached(0, 0, 5, 4)).toEqual(["target-reached", "target-set-reached"]);
		expect(reached(2, 0, 5, 4)).toEqual(["target-reached"]);
		expect(reached(0, 0, 0.8, 0.9)).toEqual(["target-reached"]);
		expect(reached(3, 0, 5, 2)).toEqual([]);
		expect(reached(-3, -3, 5, 0)).toEqual(["target-reached"]);
	});

	it("loses the true labels one by one, all of those found before, or from the top k", () => {
		const lost = (logits: Float32Array, k?: number) => judge(logits, { k }).filter((name) => name.endsWith("lost"));
		expect(lost(at(3, 0, 2, 0))).toEqual(["any-true-label-lost"]);
		expect(lost(at(0.9, 0, 2, 3), 2)).toEqual(["any-true-label-lost", "all-true-labels-lost", "top-k-lost"]);
		expect(lost(at(0.9, 0, 2, 3), 3)).toEqual(["any-true-label-lost", "all-true-labels-lost"]);
		expect(lost(at(4, 4, 5, 5), 2)).toEqual(["top-k-lost"]);
		expect(lost(at(5, 4, 5, 5), 2)).toEqual([]);
	});

	it("does not count all true labels as lost where none was found in the clean image", () => {
		const before = at(0, 0, 3, 0);
		expect(criteria["all-true-labels-lost"]({ clean: before, logits: at(-5, -5, 3, 0), truth, thresholds })).toBe(false);
		expect(criteria["all-true-labels-lost"]({ clean: at(3, 0, 3, 0), logits: at(-5, 3, 3, 0), truth, thresholds })).toBe(true);
	});
});
