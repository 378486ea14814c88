import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Judgement } from "../attacks/criteria.ts";
import { random } from "../tensor/random.ts";
import { zeros } from "../tensor/tensor.ts";
import { attackSuccessRate } from "./attack-success.ts";
import { bootstrap, quantile, wilson } from "./intervals.ts";
import { meanAveragePrecision, topK } from "./ranking.ts";
import { ssim } from "./similarity.ts";
import { difference, meanOf, recovered } from "./statistic.ts";

const ones = (n: number) => new Uint8Array(n).fill(1);

describe("attack success", () => {
	/** Labels: cat, dog, bus. */
	const judge = (clean: number[], logits: number[], truth: number[], target?: number[]): Judgement => ({
		clean: Float32Array.from(clean),
		logits: Float32Array.from(logits),
		truth: Float32Array.from(truth),
		thresholds: Float32Array.of(0, 0, 0),
		target,
		k: 2,
	});
	const judgements = [
		judge([3, 2, -1], [2, 3, -1], [1, 1, 0], [2]), // the top label changed to another true one
		judge([3, -2, -1], [1, 2, -1], [1, 0, 0], [1]), // true to wrong
		judge([-1, 3, -2], [-1, 2, -3], [1, 0, 0]), // wrong from the start
		judge([3, 2, -1], [3, -2, -1], [1, 1, 0]), // a true label lost, top label kept
		judge([-3, -2, -4], [-3, -2, -4], [1, 0, 0]), // nothing found, nothing changed
	];

	it.each([
		["label-changed", 2 / 5, 5],
		["top-label-wrong", 1 / 3, 3],
		["any-true-label-lost", 1 / 3, 3],
		["set-changed", 2 / 5, 5],
		["target-reached", 1 / 2, 2],
		["target-set-reached", 0, 2],
	] as const)("%s", (criterion, value, n) => {
		const statistic = attackSuccessRate(criterion, judgements);
		expect(statistic.n).toBe(n);
		expect(statistic.of(ones(5))).toBeCloseTo(value, 12);
	});

	it.each([
		["all-true-labels-lost", 1 / 4, 4],
		["top-k-lost", 1 / 6, 6],
	] as const)("%s counts images that had something to lose", (criterion, value, n) => {
		const lost = judge([3, 2, -1], [-1, 2, 3], [1, 0, 0]);
		const nothing = judge([-1, 2, 3], [-1, 2, 3], [1, 0, 0]);
		const statistic = attackSuccessRate(criterion, [...judgements, lost, nothing]);
		expect(statistic.n).toBe(n);
		expect(statistic.of(ones(7))).toBeCloseTo(value, 12);
	});
});

describe("bootstrap", () => {
	const values = random("values").uniforms(80);

	it("depends on the seed alone", () => {
		const at = (seed: number) => bootstrap(80, { seed }).estimate(meanOf(values));
		expect(at(3)).toEqual(at(3));
		expect(at(3).low).not.toBe(at(4).low);
		expect(at(3).value).toBe(at(4).value);
	});

	it("has the width that theory says", () => {
		const { value, low, high } = bootstrap(80, { seed: 1 }).estimate(meanOf(values));
		const mean = values.reduce((s, v) => s + v, 0) / 80;
		const half = (1.96 * Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0))) / 80;
		expect(value).toBeCloseTo(mean, 6);
		expect(Math.abs(Number(low) - (mean - half))).toBeLessThan(0.1 * half);
		expect(Math.abs(Number(high) - (mean + half))).toBeLessThan(0.1 * half);
	});

	it("covers the truth about as often as it says", () => {
		let covered = 0;
		for (let trial = 0; trial < 200; trial++) {
			const hits = random("coverage", trial)
				.uniforms(60)
				.map((u) => (u < 0.7 ? 1 : 0));
			const { low, high } = bootstrap(60, { seed: trial, samples: 300 }).estimate(meanOf(hits));
			if (Number(low) <= 0.7 && 0.7 <= Number(high)) covered++;
		}
		expect(covered / 200).toBeGreaterThan(0.88);
		expect(covered / 200).toBeLessThan(0.99);
	});

	it("pairs differences: a constant gain has no spread", () => {
		const better = meanOf(values.map((v) => v + 0.25));
		const { value, low, high } = bootstrap(80, { seed: 1 }).estimate(difference(better, meanOf(values)));
		for (const v of [value, low, high]) expect(v).toBeCloseTo(0.25, 6);
	});

	it("says null where there is nothing to say, and leaves out what is not defined", () => {
		const none = bootstrap(3, { seed: 1 }).estimate(meanOf([Number.NaN, Number.NaN, Number.NaN]));
		expect(none).toEqual({ value: null, low: null, high: null, n: 0 });
		const one = bootstrap(3, { seed: 1 }).estimate(meanOf([Number.NaN, 0.5, Number.NaN]));
		expect(one).toEqual({ value: 0.5, low: 0.5, high: 0.5, n: 1 });
		expect(bootstrap(0, { seed: 1 }).estimate(meanAveragePrecision([], []))).toMatchObject({ value: null, n: 0 });
	});

	it("tells how much came back", () => {
		const [clean, adversarial, purified] = [
			[1, 1, 1, 1],
			[0, 0, 1, 1],
			[1, 0, 1, 1],
		].map(meanOf);
		expect(recovered({ clean, adversarial, purified }).of(ones(4))).toBeCloseTo(0.5, 12);
		expect(recovered({ clean, adversarial: clean, purified }).of(ones(4))).not.toSatisfy(Number.isFinite);
	});
});

describe("ranking", () => {
	it("a perfect order has mAP 1, a constant score the share of positives", () => {
		fc.assert(
			fc.property(fc.array(fc.boolean(), { minLength: 2, maxLength: 30 }), (shows) => {
				fc.pre(shows.includes(true));
				const truth = shows.map((s) => [Number(s)]);
				const share = truth.reduce((sum, [t]) => sum + t, 0) / truth.length;
				expect(meanAveragePrecision(truth, truth).of(ones(truth.length))).toBeCloseTo(1, 12);
				expect(
					meanAveragePrecision(
						truth.map(() => [7]),
						truth,
					).of(ones(truth.length)),
				).toBeCloseTo(share, 12);
			}),
		);
	});

	it("takes the first of equal labels", () => {
		expect(topK([1, 3, 3, 2], 3)).toEqual([1, 2, 3]);
	});
});

it("interpolates quantiles as numpy does", () => {
	expect([0, 0.25, 0.5, 0.9, 1].map((q) => quantile([1, 2, 4, 8], q))).toEqual([1, 1.75, 3, 6.8, 8].map((v) => expect.closeTo(v, 12)));
});

it("has no interval for no images", () => {
	expect(wilson(0, 0)).toEqual({ value: null, low: null, high: null, n: 0 });
});

it("refuses images too small for SSIM", () => {
	expect(() => ssim(zeros([3, 10, 30]), zeros([3, 10, 30]))).toThrow(/at least 11 x 11 pixels, found \[3, 10, 30\]/);
});
