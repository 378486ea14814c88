import { describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { type Attack, runAttack } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

const classifier = analyticClassifier({ height: 16, width: 16 });
const ids = ["a", "b", "c", "d"];
const images = tensor(
	random("transfer")
		.uniforms(4 * 768)
		.map((v) => Math.round(v * 255) / 255),
	[4, 3, 16, 16],
);
const run = (attack: Attack) => runAttack(attack, classifier, { images, ids, seed: 2 });
const make = (spec: object) => createAttack(spec as AttackSpecInput);

describe("transfer attacks", () => {
	it.each([{ name: "mi-fgsm" }, { name: "di-fgsm", diversity: 1, decay: 1 }, { name: "ti-fgsm" }])(
		"%o raises the loss within its budget, under both norms",
		async (spec) => {
			const lossOf = await classifier.lossGradient("cross-entropy");
			const clean = await classifier.predict(images);
			const top = tensor(
				Float32Array.from(clean.data, (v, i) =>
					v === Math.max(...clean.data.slice(5 * Math.floor(i / 5), 5 * Math.floor(i / 5) + 5)) ? 1 : 0,
				),
				[4, 5],
			);
			const before = (await lossOf(images, top)).loss;
			for (const budget of [
				{ norm: "linf", epsilon: 0.05 },
				{ norm: "l2", epsilon: 0.5, stepSize: 0.1, steps: 10, start: "clean", ...defaultsOf(spec) },
			]) {
				const { images: after, outcomes } = await run(make({ ...spec, ...budget }));
				(await lossOf(after, top)).loss.forEach((loss, n) => {
					expect(loss).toBeGreaterThan(before[n]);
				});
				for (const { linf, l2 } of outcomes) expect(budget.norm === "l2" ? l2 : linf).toBeLessThanOrEqual(budget.epsilon + 1e-6);
			}
		},
	);

	it("follows the gradients of earlier steps: a gradient that turns round is outvoted", async () => {
		const attack = make({ name: "mi-fgsm", epsilon: 0.5, stepSize: 0.01, steps: 3 });
		const seen: number[] = [];
		let call = 0;
		const turning: Attack = {
			...attack,
			perturb: (problem) =>
				attack.perturb({
					...problem,
					async objective(rows, points) {
						const result = await problem.objective(rows, points);
						seen.push(points.data[0]);
						const sign = [1, 1, -1][call++];
						return { ...result, gradient: tensor(new Float32Array(points.data.length).fill(sign), points.dims) };
					},
				}),
		};
		const grey = tensor(new Float32Array(768).fill(128 / 255), [1, 3, 16, 16]);
		const { unrounded } = await runAttack(turning, classifier, { images: grey, ids: ["grey"], seed: 1 });
		expect(unrounded.data[0] - seen[2]).toBeCloseTo(0.01, 6);
	});

	it("draws new copies at every step, the same ones for an image in any batch", async () => {
		const attack = make({ name: "di-fgsm", diversity: 1, epsilon: 0.1, decay: 1 });
		const whole = await run(attack);
		const part = await runAttack(attack, classifier, {
			images: tensor(images.data.slice(768, 3 * 768), [2, 3, 16, 16]),
			ids: ["b", "c"],
			seed: 2,
		});
		expect(part.outcomes).toEqual(whole.outcomes.slice(1, 3));
		const plain = await run(make({ name: "di-fgsm", diversity: 0, epsilon: 0.1, decay: 1 }));
		const momentum = await run(make({ name: "mi-fgsm", epsilon: 0.1 }));
		expect(plain.images.data).toEqual(momentum.images.data);
		expect(whole.images.data).not.toEqual(plain.images.data);
	});

	it("refuses a kernel without a middle, a copy larger than the image, and options of other attacks", () => {
		expect(() => make({ name: "ti-fgsm", kernel: 4 })).toThrow(/odd/);
		expect(() => make({ name: "di-fgsm", resizeRate: 1.1 })).toThrow(/resizeRate/);
		expect(() => make({ name: "mi-fgsm", kernel: 15 })).toThrow(/kernel/);
		expect(() => make({ name: "mi-fgsm", preset: "foolbox", epsilon: 0.1 })).toThrow(/no default/);
	});
});

/** What the presets fill in for L-infinity alone. */
const defaultsOf = ({ name }: { name: string }) => ({
	decay: 1,
	...(name === "mi-fgsm" ? {} : { diversity: 0.5, resizeRate: 0.9 }),
	...(name === "ti-fgsm" ? { kernel: 15, kernelReach: 3 } : {}),
});
