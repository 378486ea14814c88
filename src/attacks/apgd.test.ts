import { afterAll, describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { openTinyCnn, referenceImages } from "../../test/support/autoattack.ts";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { type AttackResult, runAttack, takeRows } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

const classifier = await openTinyCnn(8);
afterAll(() => classifier.close());
const COUNT = 48;
const { images, truth, ids } = referenceImages(COUNT);

type Apgd = Omit<Extract<AttackSpecInput, { name: "apgd" }>, "name">;
const run = (spec: Apgd, input: Partial<Parameters<typeof runAttack>[2]> = {}) =>
	runAttack(createAttack({ name: "apgd", preset: "autoattack", epsilon: "6/255", ...spec }), classifier, {
		images,
		truth,
		ids,
		seed: 1,
		...input,
	});
const fooled = ({ outcomes }: AttackResult) => outcomes.map((o) => o.successBeforeRounding);
const count = (flags: boolean[]) => flags.filter(Boolean).length;

describe("APGD", () => {
	it("fools more images with more targets and with more restarts, and loses none", async () => {
		const few = fooled(await run({ loss: "dlr-targeted", targetClasses: 1, steps: 1 }));
		const many = fooled(await run({ loss: "dlr-targeted", targetClasses: 6, steps: 1 }));
		const again = fooled(await run({ loss: "dlr-targeted", targetClasses: 1, steps: 1, restarts: 6 }));
		expect(count(many)).toBeGreaterThan(count(few));
		expect(count(again)).toBeGreaterThan(count(few));
		for (const [n, was] of few.entries()) if (was) expect([many[n], again[n]]).toEqual([true, true]);
	});

	it("fools the same images when it stops early, with fewer gradients, and no success is lost to rounding", async () => {
		const full = await run({ steps: 30 });
		const early = await run({ steps: 30, earlyStop: true });
		expect(fooled(early)).toEqual(fooled(full));
		for (const [n, o] of early.outcomes.entries()) {
			expect(full.outcomes[n].gradientEvaluations).toBe(31);
			if (o.success) expect(o.gradientEvaluations).toBeLessThan(31);
		}
		expect(early.outcomes.filter((o) => o.success).length).toBeGreaterThanOrEqual(full.outcomes.filter((o) => o.success).length);
	});

	it("returns the point of the highest loss of an image that it does not fool", async () => {
		const { outcomes, unrounded } = await run({ steps: 20, epsilon: "2/255", loss: "set-margin" });
		const lossOf = await classifier.lossGradient("set-margin");
		const [before, after] = [(await lossOf(images, truth)).loss, (await lossOf(unrounded, truth)).loss];
		const robust = [...ids.keys()].filter((n) => !outcomes[n].successBeforeRounding);
		expect(robust.length).toBeGreaterThan(5);
		for (const n of robust) expect(after[n]).toBeGreaterThan(before[n]);
	});

	it.each<Apgd>([
		{ target: "second-best", criterion: "target-reached" },
		{ target: "second-best", criterion: "target-reached", loss: "dlr-targeted" },
		{ target: "second-best", criterion: "target-reached", norm: "l2", epsilon: 1 },
	])("reaches targets: %o", async (spec) => {
		const { outcomes } = await run({ epsilon: "16/255", steps: 30, ...spec });
		expect(count(outcomes.map((o) => o.success))).toBeGreaterThan(0.9 * COUNT);
	});

	it("moves away from several true labels at once", async () => {
		const model = analyticClassifier();
		const scenes = tensor(
			random(5, "images")
				.uniforms(6 * 48)
				.map((v) => Math.round(v * 255) / 255),
			[6, 3, 4, 4],
		);
		const two = tensor(
			Float32Array.from({ length: 30 }, (_, i) => Number(i % 5 < 2)),
			[6, 5],
		);
		const input = { images: scenes, truth: two, ids: ids.slice(0, 6), seed: 1 };
		const strong = await runAttack(createAttack({ name: "apgd", preset: "autoattack", epsilon: 0.5 }), model, input);
		expect(strong.outcomes.every((o) => o.success)).toBe(true);
	});

	it("leaves an image alone whose clean version meets the criterion", async () => {
		const wrong = tensor(
			truth.data.map((_, i) => truth.data[i % 10 === 9 ? i - 9 : i + 1]),
			truth.dims,
		);
		const { outcomes } = await run({ steps: 2 }, { truth: wrong });
		expect(outcomes.every((o) => o.alreadyFooled && o.linf === 0 && o.gradientEvaluations === 0)).toBe(true);
	});

	it.each<Apgd>([{ steps: 12 }, { steps: 12, norm: "l2", epsilon: 0.5, restarts: 2 }, { steps: 6, loss: "dlr-targeted", earlyStop: true }])(
		"gives an image the same result in any batch and order: %o",
		async (spec) => {
			const whole = await run(spec);
			const order = [17, 2, 9];
			const part = await run(spec, { images: takeRows(images, order), truth: takeRows(truth, order), ids: order.map(String) });
			expect(part.images.data).toEqual(takeRows(whole.images, order).data);
		},
	);
});
