import { describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { predictedLabels } from "./targets.ts";

/** Steep and wavy, so that where an iteration starts decides where it ends. */
const classifier = analyticClassifier({ gain: 10, hidden: 24 });
const ids = Array.from({ length: 24 }, (_, n) => `${n}`);
const images = tensor(
	random("restarts")
		.uniforms(24 * 48)
		.map((v) => Math.round(v * 255) / 255),
	[24, 3, 4, 4],
);
const spec: AttackSpecInput = { name: "pgd", epsilon: 0.02, stepSize: 0.006, steps: 4, loss: "margin", start: "uniform" };
const run = (more: Partial<AttackSpecInput>) =>
	runAttack(createAttack({ ...spec, ...more } as AttackSpecInput), classifier, { images, ids, seed: 1 });

/** The margin by which another label is above the one that the clean image had. */
async function margins(more: Partial<AttackSpecInput>) {
	const { unrounded, cleanLogits, outcomes } = await run(more);
	const top = tensor(
		Float32Array.from(ids.flatMap((_, n) => [...predictedLabels(cleanLogits.data.slice(n * 5, n * 5 + 5), new Float32Array(5).fill(99))])),
		[24, 5],
	);
	return { loss: (await (await classifier.lossGradient("margin"))(unrounded, top)).loss, outcomes };
}

describe("pgd with restarts", () => {
	it("keeps the best restart of every image", async () => {
		const [one, six] = [await margins({}), await margins({ restarts: 6 })];
		const beaten = (o: { successBeforeRounding: boolean }[]) => o.filter((x) => x.successBeforeRounding).length;
		expect(beaten(one.outcomes)).toBeGreaterThan(0);
		expect(beaten(six.outcomes)).toBeGreaterThan(beaten(one.outcomes));
		let better = 0;
		six.outcomes.forEach((o, n) => {
			if (o.successBeforeRounding) return;
			expect(six.loss[n]).toBeGreaterThanOrEqual(one.loss[n]);
			if (six.loss[n] > one.loss[n]) better++;
		});
		expect(better).toBeGreaterThan(0);
	});

	it("lets images that are beaten leave, and judges each of the others once a restart", async () => {
		const [one, three] = [await run({}), await run({ restarts: 3 })];
		one.outcomes.forEach((o, n) => {
			const { gradientEvaluations } = three.outcomes[n];
			if (o.successBeforeRounding) expect(gradientEvaluations).toBe(5);
			else expect([10, 15]).toContain(gradientEvaluations);
		});
	});

	it("is repeatable, and does not depend on the batch", async () => {
		const [whole, again] = [await run({ restarts: 3 }), await run({ restarts: 3 })];
		expect(again.images.data).toEqual(whole.images.data);
		const part = await runAttack(createAttack({ ...spec, restarts: 3 } as AttackSpecInput), classifier, {
			images: tensor(images.data.slice(5 * 48, 7 * 48), [2, 3, 4, 4]),
			ids: ids.slice(5, 7),
			seed: 1,
		});
		expect(part.outcomes).toEqual(whole.outcomes.slice(5, 7));
	});

	it("reports progress over all restarts", async () => {
		const seen: number[] = [];
		await runAttack(createAttack({ ...spec, steps: 2, restarts: 2 } as AttackSpecInput), classifier, {
			images,
			ids,
			seed: 1,
			onProgress: (done) => seen.push(done),
		});
		expect(seen).toEqual([0.25, 0.5, 0.75, 1]);
	});
});
