import { describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { noisyClassifier } from "../../test/support/noisy-classifier.ts";
import { random } from "../tensor/random.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { type AttackProblem, runAttack } from "./attack.ts";
import { argmax } from "./criteria.ts";
import { averaged } from "./eot.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

const exact = analyticClassifier({ gain: 2, hidden: 16 });
const N = 32;
const ids = Array.from({ length: N }, (_, n) => `${n}`);
const images = tensor(
	random("eot")
		.uniforms(N * 48)
		.map((v) => Math.round(v * 255) / 255),
	[N, 3, 4, 4],
);
const noisy = (seed: number) => noisyClassifier(exact, { sigma: 0.15, seed });

/** Summed variance of the pixels of a gradient, over 300 estimates of it. */
async function variance(samples: number): Promise<number> {
	const lossOf = await noisy(5).lossGradient("cross-entropy");
	const gradients: AttackProblem["lossGradient"] = (_loss, _rows, candidates, targets) => lossOf(candidates, targets);
	const estimate = averaged(gradients, samples);
	const image = stack([row(images, 0)]);
	const target = tensor(Float32Array.of(1, 0, 0, 0, 0), [1, 5]);
	const found: Float32Array[] = [];
	for (let i = 0; i < 300; i++) found.push((await estimate("cross-entropy", [0], image, target)).gradient.data);
	return Array.from({ length: 48 }, (_, p) => {
		const values = found.map((g) => g[p]);
		const middle = values.reduce((a, b) => a + b, 0) / values.length;
		return values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / values.length;
	}).reduce((a, b) => a + b, 0);
}

/** Share of draws of the noise under which the top label is not the one that clean images have without noise. */
async function fooledShare(adversarial: Tensor): Promise<number> {
	const judge = noisy(99);
	const clean = await exact.predict(images);
	let fooled = 0;
	for (let draw = 0; draw < 100; draw++) {
		const logits = await judge.predict(adversarial);
		for (let n = 0; n < N; n++) if (argmax(row(logits, n).data) !== argmax(row(clean, n).data)) fooled++;
	}
	return fooled / (100 * N);
}

describe("expectation over transformation", () => {
	it("divides the variance of a gradient by the number of samples", async () => {
		const ratio = (await variance(1)) / (await variance(16));
		expect(ratio).toBeGreaterThan(12);
		expect(ratio).toBeLessThan(21);
	});

	it("makes an attack on a randomised classifier stronger", async () => {
		const share = async (eot: number) => {
			const spec: AttackSpecInput = { name: "pgd", epsilon: 0.06, stepSize: 0.02, steps: 6, loss: "margin", eot };
			return fooledShare((await runAttack(createAttack(spec), noisy(1), { images, ids, seed: 1 })).images);
		};
		const [none, one, many] = [await fooledShare(images), await share(1), await share(20)];
		expect(one).toBeGreaterThan(none + 0.05);
		expect(many).toBeGreaterThan(one + 0.05);
	});

	it.each(["fgsm", "pgd", "mi-fgsm", "di-fgsm", "ti-fgsm"] as const)("is an option of %s, and every sample counts", async (name) => {
		const attack = (eot?: number) => createAttack({ name, epsilon: 0.05, ...(eot ? { eot } : {}) } as AttackSpecInput);
		const evaluations = async (eot?: number) =>
			(await runAttack(attack(eot), noisy(1), { images, ids, seed: 1 })).outcomes[0].gradientEvaluations;
		expect(await evaluations(3)).toBe(3 * (await evaluations()));
	});

	it("changes nothing for a classifier that is not randomised", async () => {
		const attack = (eot: number) => createAttack({ name: "pgd", epsilon: 0.05, eot });
		const [one, three] = [
			await runAttack(attack(1), exact, { images, ids, seed: 1 }),
			await runAttack(attack(3), exact, { images, ids, seed: 1 }),
		];
		const worst = one.images.data.reduce((most, v, i) => Math.max(most, Math.abs(v - three.images.data[i])), 0);
		expect(worst).toBe(0);
	});
});
