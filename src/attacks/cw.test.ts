import { describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { random } from "../tensor/random.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { argmax, topLabels } from "./criteria.ts";
import { type AttackSpecInput, attackSchema, createAttack, describeAttack } from "./schema.ts";
import { norm2, UNBOUNDED } from "./threat-model.ts";

const classifier = analyticClassifier();
const ids = ["a", "b", "c", "d", "e", "f"];
const images = tensor(
	random(5, "images")
		.uniforms(ids.length * 48)
		.map((v) => Math.round(v * 255) / 255),
	[ids.length, 3, 4, 4],
);
type CwInput = Omit<Extract<AttackSpecInput, { name: "cw" }>, "name">;
const usual: CwInput = { kappa: 0, steps: 60, learningRate: 0.02 };
const run = (spec: CwInput = {}, input: Partial<Parameters<typeof runAttack>[2]> = {}) =>
	runAttack(createAttack({ name: "cw", ...usual, ...spec }), classifier, { images, ids, seed: 3, ...input });

const lengths = (moved: Tensor, from = images) => ids.map((_, n) => norm2(row(moved, n).data.map((v, i) => v - row(from, n).data[i])));
const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
/** How far the best other label leads the one that led before. */
async function leads(result: { unrounded: Tensor; cleanLogits: Tensor }): Promise<number[]> {
	const logits = await classifier.predict(result.unrounded);
	return ids.map((_, n) => {
		const z = row(logits, n).data;
		const before = argmax(row(result.cleanLogits, n).data);
		return Math.max(...z.filter((_, k) => k !== before)) - z[before];
	});
}

describe("cw", () => {
	it("reaches the margin that it is asked for, and hardly more; a larger one costs more", async () => {
		const distances: number[] = [];
		for (const kappa of [0, 0.5, 1.5]) {
			const result = await run({ kappa, steps: 200, learningRate: 0.01 });
			for (const lead of await leads(result)) {
				expect(lead).toBeGreaterThanOrEqual(kappa - 1e-5);
				expect(lead).toBeLessThan(kappa + 0.1);
			}
			expect(result.outcomes.every((o) => o.success)).toBe(true);
			distances.push(mean(lengths(result.unrounded)));
		}
		expect(distances).toEqual([...distances].sort((a, b) => a - b));
	});

	it("is nearer than the smallest PGD that fools as many, image by image", async () => {
		const ours = lengths((await run({ steps: 300, learningRate: 0.003 })).unrounded);
		const budgets = Array.from({ length: 30 }, (_, i) => 0.01 * 1.15 ** i);
		const pgd = ids.map(() => Number.POSITIVE_INFINITY);
		for (const epsilon of budgets) {
			const spec = { name: "pgd", norm: "l2", epsilon, stepSize: epsilon / 5, steps: 20 } as const;
			const { outcomes } = await runAttack(createAttack(spec), classifier, { images, ids, seed: 3 });
			outcomes.forEach((o, n) => {
				if (o.successBeforeRounding) pgd[n] = Math.min(pgd[n], epsilon);
			});
		}
		expect(mean(ours)).toBeLessThan(mean(pgd));
	});

	it("gets nearer with every value of c that it tries", async () => {
		const after = await Promise.all([4, 6, 9].map(async (searchSteps) => lengths((await run({ searchSteps })).unrounded)));
		for (const [n] of ids.entries()) {
			expect(after[0][n] === 0 || after[1][n] <= after[0][n]).toBe(true);
			expect(after[1][n] === 0 || after[2][n] <= after[1][n]).toBe(true);
		}
		expect(mean(after[2])).toBeLessThan(mean(after[1]));
	});

	it("leaves an image as it is where no c reaches the margin, unless meeting the criterion is enough", async () => {
		const asked = { kappa: 40, searchSteps: 2, c: 1, steps: 30 };
		const missed = await run(asked);
		expect(missed.unrounded.data).toEqual(images.data);
		expect(missed.outcomes.every((o) => !o.success)).toBe(true);
		expect((await run({ ...asked, accept: "criterion" })).outcomes.every((o) => o.successBeforeRounding)).toBe(true);
	});

	it("takes every step if it never stops early; images that stop leave the batch, each at its own time", async () => {
		const evaluations = async (stop: CwInput["stop"]) => (await run({ stop, steps: 40 })).outcomes.map((o) => o.gradientEvaluations);
		expect(await evaluations("never")).toEqual(ids.map(() => 9 * 40));
		const stalled = await evaluations("stalled");
		expect(Math.max(...stalled)).toBeLessThan(9 * 40);
		expect(new Set(stalled).size).toBeGreaterThan(1);
	});

	it("can move saturated pixels or leave them alone", async () => {
		const hard = tensor(
			images.data.map((v) => (v < 0.3 ? 0 : v > 0.7 ? 1 : v)),
			images.dims,
		);
		const moved = async (saturated: CwInput["saturated"]) => {
			const { unrounded } = await run({ saturated, kappa: 1, learningRate: 0.1 }, { images: hard });
			return hard.data.reduce((count, v, i) => count + Number((v === 0 || v === 1) && Math.abs(unrounded.data[i] - v) > 1e-4), 0);
		};
		expect(await moved("stay")).toBe(0);
		expect(await moved("move")).toBeGreaterThan(20);
	});

	it("reaches a target by the margin, and several targets together", async () => {
		const one = await run({ target: "second-best", kappa: 0.5 });
		expect(one.outcomes.every((o) => o.success && o.topAfter.label === o.target)).toBe(true);
		const two = await run({ target: { labels: ["bus", "pizza"] }, steps: 200 });
		const logits = await classifier.predict(two.unrounded);
		for (const [n] of ids.entries()) expect(topLabels(row(logits, n).data, 2).sort()).toEqual([2, 3]);
	});

	it("makes every true label lose, not only the one that leads", async () => {
		const truth = tensor(new Float32Array(30), [6, 5]);
		const clean = await classifier.predict(images);
		for (const [n] of ids.entries()) for (const k of topLabels(row(clean, n).data, 2)) row(truth, n).data[k] = 1;
		const wrong = async (spec: CwInput) =>
			(await run({ criterion: "top-label-wrong", ...spec }, { truth })).outcomes.filter((o) => o.success).length;
		expect(await wrong({ labels: "all-true" })).toBe(6);
		expect(await wrong({ labels: "best-true" })).toBeLessThan(6);
		expect(await wrong({ labels: "all-true", criterion: "top-k-lost", k: 2 })).toBe(6);
	});

	it("gives an image the same result in any batch and order", async () => {
		const whole = await run({ steps: 25 });
		const order = [4, 1, 3];
		const pick = (t: Tensor) => stack(order.map((n) => row(t, n)));
		const part = await run({ steps: 25 }, { images: pick(images), ids: order.map((n) => ids[n]) });
		expect(part.unrounded.data).toEqual(pick(whole.unrounded).data);
		expect(part.outcomes).toEqual(order.map((n) => whole.outcomes[n]));
	});

	it("has presets: the paper's search, torchattacks' single descent, and none of ART, whose attack is another", () => {
		expect(describeAttack(attackSchema.parse({ name: "cw" }))).toMatch(
			/norm=l2, kappa=10, c=0.001, searchSteps=9, steps=1000.*epsilon=unbounded/,
		);
		expect(attackSchema.parse({ name: "cw", preset: "torchattacks", epsilon: "unbounded" })).toMatchObject({
			c: 1,
			searchSteps: 1,
			epsilon: UNBOUNDED,
		});
		expect(() => createAttack({ name: "cw", preset: "art" })).toThrow(/preset art has no default/);
	});

	it("stays inside a budget if it is given one", async () => {
		const { outcomes } = await run({ kappa: 1, epsilon: 0.05 });
		for (const o of outcomes) expect(o.l2).toBeLessThanOrEqual(0.05 + 1e-6);
	});
});
