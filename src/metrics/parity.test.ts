import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { tensor } from "../tensor/tensor.ts";
import { type Average, decide, overallF1, perLabelF1, precisionRecall } from "./decisions.ts";
import { wilson } from "./intervals.ts";
import { averagePrecision, meanAveragePrecision, precisionAt } from "./ranking.ts";
import { l2, linf, psnr, ssim } from "./similarity.ts";

interface MultiLabel extends Record<Average, [number, number, number]> {
	scores: number[][];
	truth: number[][];
	thresholds: number[];
	weights: number[];
	cf1: number;
	ap: (number | null)[];
	map: number;
	precisionAt: number[];
}
interface Pair {
	dims: number[];
	a: number[];
	b: number[];
	ssim: number;
	psnr: number;
	l2: number;
	linf: number;
}
const golden: { multilabel: MultiLabel[]; images: Pair[]; wilson: [number, number, number, number][] } = JSON.parse(
	readFileSync(new URL("../../test/golden/metrics.json", import.meta.url), "utf8"),
);

describe.each(golden.multilabel.map((g, i) => [i, g] as const))("scikit-learn, case %i (ties, empty labels, repeated images)", (_, g) => {
	const decisions = decide(g.scores, g.thresholds);

	it.each(["samples", "micro", "macro", "weighted"] as const)("%s precision, recall, F1", (average) => {
		const { precision, recall, f1 } = precisionRecall(average, decisions, g.truth);
		for (const [i, statistic] of [precision, recall, f1].entries()) expect(statistic.of(g.weights)).toBeCloseTo(g[average][i], 12);
	});

	it("CF1 and OF1", () => {
		expect(perLabelF1(decisions, g.truth).of(g.weights)).toBeCloseTo(g.cf1, 12);
		expect(overallF1(decisions, g.truth).of(g.weights)).toBeCloseTo(g.micro[2], 12);
	});

	it("average precision of each label, and their mean over the labels present", () => {
		for (const [k, expected] of g.ap.entries()) {
			const column = (rows: number[][]) => rows.map((row) => row[k]);
			const found = averagePrecision(column(g.scores), column(g.truth)).of(g.weights);
			if (expected === null) expect(found).toBeNaN();
			else expect(found).toBeCloseTo(expected, 12);
		}
		expect(meanAveragePrecision(g.scores, g.truth).of(g.weights)).toBeCloseTo(g.map, 12);
	});

	it("precision at k", () => {
		for (const [i, expected] of g.precisionAt.entries())
			expect(precisionAt(i + 1, g.scores, g.truth).of(g.weights)).toBeCloseTo(expected, 12);
	});
});

it("has golden cases with empty labels and with ties", () => {
	expect(golden.multilabel.some((g) => g.ap.includes(null))).toBe(true);
	expect(golden.multilabel.some((g) => new Set(g.scores.flat()).size < g.scores.length)).toBe(true);
});

it.each(golden.images.map((g) => [g.dims, g] as const))("SSIM by scipy's Gaussian filter, PSNR and norms %j", (dims, g) => {
	const [a, b] = [g.a, g.b].map((bytes) =>
		tensor(
			Float32Array.from(bytes, (v) => v / 255),
			dims,
		),
	);
	expect(ssim(a, b)).toBeCloseTo(g.ssim, 6);
	expect(psnr(a, b)).toBeCloseTo(g.psnr, 4);
	expect(l2(a, b)).toBeCloseTo(g.l2, 5);
	expect(linf(a, b)).toBeCloseTo(g.linf, 6);
	expect(ssim(a, a)).toBeCloseTo(1, 12);
	expect(psnr(a, a)).toBe(Number.POSITIVE_INFINITY);
});

it.each(golden.wilson)("Wilson's interval of %i of %i, by scipy", (successes, n, low, high) => {
	const found = wilson(successes, n);
	expect(found).toMatchObject({ value: successes / n, n });
	expect(found.low).toBeCloseTo(low, 12);
	expect(found.high).toBeCloseTo(high, 12);
});
