import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decide, precisionRecall } from "./decisions.ts";
import { bestThreshold, calibrateThresholds } from "./thresholds.ts";

const scored = fc.array(fc.record({ score: fc.integer({ min: -4, max: 4 }), right: fc.boolean() }), { minLength: 1, maxLength: 12 });

const f1At = (scores: number[], truth: number[], threshold: number) => {
	const rows = (values: number[]) => values.map((v) => [v]);
	return precisionRecall("micro", decide(rows(scores), [threshold]), rows(truth)).f1.of(new Array(scores.length).fill(1));
};

describe("best threshold", () => {
	it("reaches the F1 that it promises, and no other threshold reaches more, ties included", () => {
		fc.assert(
			fc.property(scored, (items) => {
				const [scores, truth] = [items.map(({ score }) => score), items.map(({ right }) => Number(right))];
				const best = bestThreshold(scores, truth);
				expect(best === undefined).toBe(!truth.includes(1));
				if (best === undefined) return;
				expect(f1At(scores, truth, best.threshold)).toBeCloseTo(best.f1, 12);
				for (let t = -5; t <= 5; t += 0.5) expect(f1At(scores, truth, t)).toBeLessThanOrEqual(best.f1 + 1e-12);
			}),
		);
	});

	it("lies halfway between the scores it parts, and is the highest of equals", () => {
		expect(bestThreshold([5, 3, 1], [1, 0, 0])).toEqual({ threshold: 4, f1: 1, positives: 1 });
		expect(bestThreshold([5, 3], [1, 1])).toEqual({ threshold: 2.5, f1: 1, positives: 2 });
		expect(bestThreshold([4, 3, 2, 1], [1, 0, 0, 1])?.threshold).toBe(3.5);
	});
});

describe("calibrated thresholds", () => {
	const logits = [
		[3, 13, 0],
		[1, 12, 1],
		[2, 10, 2],
	];
	const truth = [
		[1, 1, 0],
		[0, 1, 0],
		[1, 0, 0],
	];
	it("are each label's own, with the common one where too little is known", () => {
		const common = calibrateThresholds(logits, truth, { labels: 3, method: "global", minPositives: 0 });
		const own = calibrateThresholds(logits, truth, { labels: 3, method: "per-label", minPositives: 2 });
		expect(calibrateThresholds(logits, truth, { labels: 3, method: "per-label", minPositives: 3 })).toEqual(common);
		expect(own?.map(({ threshold }) => threshold)).toEqual([1.5, 11, common?.[0].threshold]);
		expect(own?.map(({ f1, positives }) => [f1, positives])).toEqual([
			[1, 2],
			[1, 2],
			[null, 0],
		]);
		expect(new Set(common?.map(({ threshold }) => threshold)).size).toBe(1);
	});
	it("need at least one true label", () => {
		expect(
			calibrateThresholds(
				logits,
				[
					[0, 0, 0],
					[0, 0, 0],
					[0, 0, 0],
				],
				{ labels: 3, method: "per-label", minPositives: 0 },
			),
		).toBeUndefined();
	});
});
