import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { chooseTargets, lossLabels, namedTargets, predictedLabels, type TargetContext, type TargetRule, targetsOf } from "./targets.ts";

const at = (...values: number[]) => Float32Array.from(values);
const context = (more: Partial<TargetContext> = {}): TargetContext => ({
	id: "7",
	labels: ["a", "b", "c", "d", "e"],
	clean: at(1, 5, 4, -2, 3),
	truth: at(0, 0, 1, 0, 0),
	random: random(1, "7"),
	...more,
});

describe("targets", () => {
	it.each<[TargetRule, number[]]>([
		["least-likely", [3]],
		["second-best", [4]],
		[{ label: "c" }, [2]],
		[{ labels: ["e", "a"] }, [4, 0]],
	])("%o", (rule, expected) => {
		expect(chooseTargets(rule, context())).toEqual(expected);
	});

	it("draws every free label and no other", () => {
		const drawn = new Set(Array.from({ length: 60 }, (_, i) => chooseTargets("random", context({ random: random(i) }))[0]));
		expect([...drawn].sort()).toEqual([0, 3, 4]);
	});

	it("refuses an unknown label and a fully labelled image", () => {
		expect(() => chooseTargets({ label: "zebra" }, context())).toThrow(/found zebra/);
		expect(() => chooseTargets({ labels: ["a", "zebra"] }, context())).toThrow(/found zebra/);
		expect(() => chooseTargets("random", context({ truth: at(1, 1, 1, 1, 1) }))).toThrow(/image 7.*untargeted/);
	});
});

describe("targets of a record", () => {
	const labels = ["a", "b", "c"];
	it.each<[Parameters<typeof targetsOf>[0], string | null, number[] | undefined]>([
		["none", null, undefined],
		["random", "b", [1]],
		["random", null, undefined],
		[{ label: "c" }, "c", [2]],
		[{ labels: ["c", "a"] }, "c + a", [2, 0]],
	])("%o, %s", (rule, target, expected) => {
		expect(targetsOf(rule, target, labels)).toEqual(expected);
	});
	it("are named by rules that name labels", () => {
		expect([namedTargets("none"), namedTargets("random"), namedTargets({ label: "a" }), namedTargets({ labels: ["a", "b"] })]).toEqual([
			[],
			[],
			["a"],
			["a", "b"],
		]);
	});
});

describe("labels of the loss", () => {
	const clean = at(1, 5, 4, -2);
	const truth = at(1, 0, 1, 0);
	it("follow the rule", () => {
		expect([...lossLabels("predicted", clean, truth)]).toEqual([0, 1, 0, 0]);
		expect([...lossLabels("best-true", clean, truth)]).toEqual([0, 0, 1, 0]);
		expect([...lossLabels("all-true", clean, truth)]).toEqual([1, 0, 1, 0]);
	});
	it("fall back to the top label for an image without labels", () => {
		expect([...lossLabels("best-true", clean, at(0, 0, 0, 0))]).toEqual([0, 1, 0, 0]);
		expect([...lossLabels("all-true", clean, at(0, 0, 0, 0))]).toEqual([0, 1, 0, 0]);
	});
	it("come from the thresholds where no truth is known", () => {
		expect([...predictedLabels(clean, at(3, 3, 3, 3))]).toEqual([0, 1, 1, 0]);
		expect([...predictedLabels(clean, at(9, 9, 9, 9))]).toEqual([0, 1, 0, 0]);
	});
});
