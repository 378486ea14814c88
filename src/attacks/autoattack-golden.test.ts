/** @file APGD, FAB, Square and AutoAttack against the reference results of AutoAttack's own code (test/golden/README.md). */
import { afterAll, describe, expect, it } from "vitest";
import { floats, integers, onReference, openTinyCnn, robustFraction, robustInOriginal } from "../../test/support/autoattack.ts";
import type { LossGradient } from "../models/classifier.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { climb } from "./apgd.ts";
import { type AttackProblem, objectiveOf } from "./attack.ts";
import { walkBoundary } from "./fab.ts";
import { rivals } from "./rivals.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { lengthOf } from "./surface.ts";

const IMAGES = 48;
const rows = Array.from({ length: IMAGES }, (_, n) => n);

const classifier = await openTinyCnn(8);
afterAll(() => classifier.close());

type Look = (asked: readonly number[], candidates: Tensor) => Promise<LossGradient>;

const targeted =
	({ wanted, lossGradient }: AttackProblem): Look =>
	(asked, candidates) => {
		const targets = asked.map((n) => {
			const sides = wanted(n).slice();
			sides[integers("apgd_t_target")[n]] = -1;
			return tensor(sides, [sides.length]);
		});
		return lossGradient("dlr-targeted", asked, candidates, stack(targets));
	};

const RUNS = {
	ce: { norm: "linf", epsilon: 0.03, start: "x_init", look: (problem: AttackProblem) => objectiveOf("cross-entropy", problem) },
	dlr: { norm: "linf", epsilon: 0.03, start: "x_init", look: (problem: AttackProblem) => objectiveOf("dlr", problem) },
	t: { norm: "linf", epsilon: 0.03, start: "x_init", look: targeted },
	l2: { norm: "l2", epsilon: 0.5, start: "x_init_l2", look: (problem: AttackProblem) => objectiveOf("cross-entropy", problem) },
} as const;

/** A gradient below this share of its image's mean gradient may have either sign in float32. */
const UNDECIDED = 1e-3;
/** Four roundings of a probability next to 1. */
const ROUNDING = 2 ** -22;

/** Runs APGD from the reference's start, and notes the smallest gradient of each pixel, in units of the mean, and each image's first loss. */
async function apgdFromReference(name: keyof typeof RUNS, steps: number) {
	const { norm, epsilon, start, look } = RUNS[name];
	return onReference(classifier, IMAGES, async (problem) => {
		const smallest = rows.map(() => new Float32Array(3 * 16 * 16).fill(Number.POSITIVE_INFINITY));
		const firstLoss = new Map<number, number>();
		const watched: Look = async (asked, candidates) => {
			const result = await look(problem)(asked, candidates);
			for (const [i, n] of asked.entries()) {
				const size = row(result.gradient, i).data.map(Math.abs);
				const mean = size.reduce((a, b) => a + b, 0) / size.length;
				for (const [j, g] of size.entries()) smallest[n][j] = Math.min(smallest[n][j], g / mean);
				if (!firstLoss.has(n)) firstLoss.set(n, result.loss[i]);
			}
			return result;
		};
		const climbs = await climb(problem, { norm, epsilon, steps, earlyStop: false }, rows, floats(start), watched);
		// The gradient of a cross-entropy near zero is 1 - p of a p that float32 rounds to 6e-8: both codes follow their own rounding there.
		const blur = rows.map((n) => (name === "ce" || name === "l2" ? ROUNDING / Math.max(ROUNDING, firstLoss.get(n) ?? 0) : 0));
		return { climbs, smallest, blur, epsilon, norm };
	});
}

describe("APGD", () => {
	it.each((["ce", "dlr", "t", "l2"] as const).flatMap((name) => [1, 10].map((steps) => [name, steps] as const)))(
		"%s goes where the original goes in %i steps",
		async (name, steps) => {
			const { climbs, smallest, blur, epsilon, norm } = await apgdFromReference(name, steps);
			const expected = floats(`apgd_${name}_n${steps}_x_best`);
			let flips = 0;
			for (const { n, best } of climbs) {
				const pixels = row(expected, n).data;
				for (const [i, v] of best.entries()) {
					const error = Math.abs(v - pixels[i]);
					if (norm === "linf" && error > 1e-5 && smallest[n][i] < UNDECIDED + blur[n]) flips++;
					else expect(error, `pixel ${i} of image ${n}`).toBeLessThan(1e-5 + (norm === "l2" ? 2 * epsilon * blur[n] : 0));
				}
			}
			expect(flips / expected.data.length).toBeLessThan(0.002);
			expect(blur.filter((b) => b < 0.01).length).toBeGreaterThan(25);
		},
	);

	it.each(["ce", "dlr", "t", "l2"] as const)("%s reaches the original's losses and successes in 100 steps", async (name) => {
		const { climbs, blur } = await apgdFromReference(name, 100);
		const losses = floats(`apgd_${name}_n100_loss_best`).data;
		for (const { n, bestLoss } of climbs) {
			// A DLR above 1 has a denominator near zero, which magnifies rounding as it does the loss.
			const tolerance = 1e-3 * Math.max(1, Math.abs(losses[n])) + blur[n];
			expect(Math.abs(bestLoss - losses[n]) / Math.abs(losses[n]), `image ${n}`).toBeLessThan(tolerance);
		}
		const robust = climbs.map(({ adversarial }) => Number(adversarial === undefined));
		expect(robust.reduce((a, b) => a + b) / IMAGES).toBeCloseTo(robustInOriginal(`apgd_${name}_n100`), 5);
		if (name !== "l2") expect(robust).toEqual(integers(`apgd_${name}_n100_robust`));
	});

	it("aims at the original's targets", () =>
		onReference(classifier, IMAGES, async (problem) => {
			expect(rows.map((n) => rivals(problem, n)[0])).toEqual(integers("apgd_t_target"));
		}));
});

describe("FAB", () => {
	it.each(["linf", "l2"] as const)("%s comes by the original's point, and no nearer one", (norm) =>
		onReference(classifier, IMAGES, async (problem) => {
			const expected = floats(`fab_t_${norm}_x_adv`);
			// Of points that are equally far but for rounding either code may keep another one.
			const closest = rows.map(() => Number.POSITIVE_INFINITY);
			const watched: AttackProblem = {
				...problem,
				predict(asked, candidates) {
					for (const [i, n] of asked.entries()) {
						const pixels = row(expected, n).data;
						const off = row(candidates, i).data.map((v, j) => v - pixels[j]);
						closest[n] = Math.min(closest[n], lengthOf(off, "linf"));
					}
					return problem.predict(asked, candidates);
				},
			};
			const options = { norm, epsilon: 1, steps: 100, alphaMax: 0.1, eta: 1.05, beta: 0.9, earlyStop: false };
			const walks = await walkBoundary(watched, options, rows, problem.images, 0);
			for (const { n, distance, clean } of walks) {
				expect(closest[n], `image ${n}`).toBeLessThan(1e-5);
				const pixels = row(expected, n).data;
				const original = lengthOf(
					clean.map((v, i) => pixels[i] - v),
					norm,
				);
				expect(Math.abs(distance - original), `image ${n}`).toBeLessThan(1e-6);
			}
		}),
	);
});

describe("robust fractions of 200 images are the original's within 1.5 points", () => {
	it.each<[AttackSpecInput, number]>([
		[{ name: "square", queries: 1000, epsilon: 0.03 }, robustInOriginal("square_1000_robust_by_seed")],
		[{ name: "autoattack", epsilon: 0.04 }, robustInOriginal("autoattack_standard_eps0.04")],
	])("%o", async (spec, expected) => {
		const found = await robustFraction(createAttack({ ...spec, preset: "autoattack" }), classifier, 200);
		expect(Math.abs(found - expected)).toBeLessThanOrEqual(0.015);
	});
});
