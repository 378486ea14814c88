import { describe, expect, it } from "vitest";
import type { Classifier } from "../models/classifier.ts";
import { row, type Tensor, tensor } from "../tensor/tensor.ts";
import { roundAndJudge } from "./rounding.ts";
import { mapRows, roundWithin, UNBOUNDED } from "./threat-model.ts";

const LEVEL = 1 / 255;
const dims = [2, 3, 2, 2];
const images = tensor(
	Float32Array.from({ length: 24 }, (_, i) => (10 * i) / 255),
	dims,
);

/** Logits 0 and the mean change from the clean images of rows 0 and 1, in levels; counts how often it is asked. */
function meter(): Pick<Classifier, "predict"> & { asked: number[] } {
	const asked: number[] = [];
	return {
		asked,
		async predict(points) {
			asked.push(points.dims[0]);
			const logits = tensor(new Float32Array(2 * points.dims[0]), [points.dims[0], 2]);
			for (let i = 0; i < points.dims[0]; i++) {
				// The rows of `images` differ by 120 levels, so a point tells which one it comes from.
				const clean = row(images, row(points, i).data[0] > 60 * LEVEL ? 1 : 0).data;
				row(logits, i).data[1] = row(points, i).data.reduce((sum, v, j) => sum + (v - clean[j]) / LEVEL, 0) / 12;
			}
			return logits;
		},
	};
}

/** Rounds images that were brightened by so many levels each; an image fools once its mean change reaches `enough`. */
async function round(levels: readonly [number, number], { epsilon = UNBOUNDED, enough = 0.3 } = {}) {
	const classifier = meter();
	const unrounded = tensor(
		images.data.map((v, i) => v + levels[i < 12 ? 0 : 1] * LEVEL),
		dims,
	);
	const floatLogits = await classifier.predict(unrounded);
	const options = { norm: "linf", epsilon } as const;
	const fooled = (_: number, logits: Float32Array) => logits[1] >= enough - 1e-3;
	const result = await roundAndJudge({ images, unrounded, floatLogits, options, classifier, fooled });
	return { ...result, classifier, unrounded, options };
}

const change = (t: Tensor, n: number) => Math.round((row(t, n).data[0] - row(images, n).data[0]) / LEVEL);

describe("roundAndJudge", () => {
	it("rounds to the nearest level and judges what it rounded", async () => {
		const { rounded, logits, lengthened, unrounded, options } = await round([0.6, 1.4]);
		expect(rounded.data).toEqual(mapRows(unrounded, images, (x, clean) => roundWithin(x, clean, options)).data);
		expect([change(rounded, 0), change(rounded, 1)]).toEqual([1, 1]);
		expect([...logits.data].map((v) => Math.round(v))).toEqual([0, 1, 0, 1]);
		expect(lengthened).toBe(0);
	});

	it("lengthens a change without a budget until its rounded form fools as well, and only where rounding took the success", async () => {
		const { rounded, logits, lengthened, classifier } = await round([0.4, 0.8]);
		expect([change(rounded, 0), change(rounded, 1)]).toEqual([1, 1]);
		expect(lengthened).toBe(1);
		expect(logits.data).toEqual((await classifier.predict(rounded)).data);
		expect(classifier.asked.slice(2, -1).every((n) => n === 1)).toBe(true);
	});

	it("lengthens as little as it can", async () => {
		// 1.4 levels are rounded to 1; the image fools from 1.3 on, so it has to become 2: at 1.1 times its length.
		const { rounded, lengthened } = await round([1.4, 0], { enough: 1.3 });
		expect([change(rounded, 0), lengthened]).toEqual([2, 1]);
	});

	it("finds changes of a small part of a level", async () => {
		const { rounded, lengthened } = await round([0.06, 0], { enough: 0.05 });
		expect([change(rounded, 0), lengthened]).toEqual([1, 1]);
	});

	it("keeps the plain rounding of a change that no length saves, and of one that never fooled", async () => {
		const { rounded, lengthened } = await round([0.01, 0.3], { enough: 0.009 });
		expect([change(rounded, 0), lengthened]).toEqual([0, 1]);
		expect((await round([0.4, 0.4], { enough: 5 })).lengthened).toBe(0);
	});

	it("never lengthens under a budget", async () => {
		const { rounded, lengthened, classifier } = await round([0.4, 0.4], { epsilon: 4 * LEVEL });
		expect([change(rounded, 0), change(rounded, 1), lengthened]).toEqual([0, 0, 0]);
		expect(classifier.asked).toEqual([2, 2]);
	});
});
