import { afterAll, describe, expect, it } from "vitest";
import { openTinyCnn, referenceImages } from "../../test/support/autoattack.ts";
import { runAttack, takeRows } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

const classifier = await openTinyCnn(8);
afterAll(() => classifier.close());
const COUNT = 12;
const { images, truth, ids } = referenceImages(COUNT);

type Fab = Omit<Extract<AttackSpecInput, { name: "fab" }>, "name">;
const run = (spec: Fab, input: Partial<Parameters<typeof runAttack>[2]> = {}) =>
	runAttack(createAttack({ name: "fab", preset: "autoattack", ...spec }), classifier, { images, truth, ids, seed: 1, ...input });
const lengths = async (spec: Fab) => (await run({ epsilon: "unbounded", norm: "l2", ...spec })).outcomes.map((o) => o.l2);
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe("FAB", () => {
	it("fools every image without a budget, and comes nearer with more steps, labels and starts", async () => {
		const { outcomes } = await run({ epsilon: "unbounded", norm: "l2", targetClasses: 1, steps: 5 });
		expect(outcomes.every((o) => o.success)).toBe(true);
		const short = mean(outcomes.map((o) => o.l2));
		const one = mean(await lengths({ targetClasses: 1, steps: 30 }));
		const four = mean(await lengths({ targetClasses: 4, steps: 30 }));
		const starts = mean(await lengths({ targetClasses: 1, steps: 30, restarts: 3 }));
		expect(one).toBeLessThan(short);
		expect(four).toBeLessThan(one);
		expect(starts).toBeLessThan(one);
	});

	it("finds shorter changes than DeepFool", async () => {
		const nearest = mean(await lengths({ targetClasses: 0, steps: 20 }));
		const spec: AttackSpecInput = { name: "deepfool", norm: "l2", criterion: "top-label-wrong", labels: "all-true" };
		const { outcomes } = await runAttack(createAttack(spec), classifier, { images, truth, ids, seed: 1 });
		expect(outcomes.every((o) => o.success)).toBe(true);
		expect(nearest).toBeLessThan(mean(outcomes.map((o) => o.l2)));
	});

	it("returns the clean image where the boundary lies outside the budget", async () => {
		const { outcomes } = await run({ epsilon: "6/255", steps: 20 });
		const robust = outcomes.filter((o) => !o.successBeforeRounding);
		expect(robust.length).toBeGreaterThan(0);
		expect(robust.length).toBeLessThan(COUNT);
		for (const o of robust) expect(o.linf).toBe(0);
	});

	it("fools the same images when it stops early, with fewer gradients", async () => {
		const full = await run({ epsilon: "6/255", steps: 30, targetClasses: 2 });
		const early = await run({ epsilon: "6/255", steps: 30, targetClasses: 2, earlyStop: true });
		const fooled = (result: typeof full) => result.outcomes.map((o) => o.successBeforeRounding);
		expect(fooled(early)).toEqual(fooled(full));
		const work = (result: typeof full) => result.outcomes.reduce((sum, o) => sum + o.gradientEvaluations, 0);
		expect(work(early)).toBeLessThan(work(full));
	});

	it.each(["linf", "l2"] as const)("reaches targets under %s", async (norm) => {
		const { outcomes } = await run({ norm, epsilon: "unbounded", steps: 30, target: "second-best" });
		for (const o of outcomes) expect(o.topAfter.label).toBe(o.target);
	});

	it("gives an image the same result in any batch and order", async () => {
		const spec: Fab = { epsilon: "6/255", steps: 8, targetClasses: 2, restarts: 2 };
		const whole = await run(spec);
		const order = [7, 2, 9];
		const part = await run(spec, { images: takeRows(images, order), truth: takeRows(truth, order), ids: order.map(String) });
		expect(part.images.data).toEqual(takeRows(whole.images, order).data);
	});
});
