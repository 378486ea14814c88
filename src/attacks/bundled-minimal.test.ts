/** @file CW and DeepFool on the bundled classifier and scenes, n = 4: that they fool it, and from nearer than PGD and FGSM. `bench/minimal-norm.ts` measures more. */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openCoco } from "../datasets/coco.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import { openClip } from "../models/clip.ts";
import { row, stack } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { argmax } from "./criteria.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { norm2 } from "./threat-model.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const canvas = { height: 64, width: 64 };
const classifier = await openClip({ folder: path("models/mini-clip"), canvas, batch: 4 });
afterAll(() => classifier.close());
const { samples } = await openCoco({ images: path("data/scenes/val"), annotations: path("data/scenes/annotations/instances_val.json") });
const chosen = samples.slice(0, 4);
const images = stack(await Promise.all(chosen.map(async (s) => toCanvas(await decodeImage(s.path), canvas).canvas)));
const ids = chosen.map((s) => s.id);

async function attack(spec: AttackSpecInput) {
	const result = await runAttack(createAttack(spec), classifier, { images, ids, seed: 1 });
	const lengths = ids.map((_, n) => norm2(row(result.unrounded, n).data.map((v, i) => v - row(images, n).data[i])));
	return { ...result, lengths, fooled: result.outcomes.filter((o) => o.successBeforeRounding).length };
}
const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Length of the smallest change with which each image was fooled, over growing budgets. */
async function smallest(at: (epsilon: number) => AttackSpecInput, budgets: readonly number[]): Promise<number[]> {
	const best = ids.map(() => Number.POSITIVE_INFINITY);
	for (const epsilon of budgets) {
		const { lengths, outcomes } = await attack(at(epsilon));
		outcomes.forEach((o, n) => {
			if (o.successBeforeRounding) best[n] = Math.min(best[n], lengths[n]);
		});
	}
	return best;
}

describe("attacks without a budget on the bundled classifier (n = 4)", () => {
	it("CW without a margin fools it from nearer than PGD does with as many images fooled", async () => {
		const cw = await attack({ name: "cw", kappa: 0, c: 0.01, searchSteps: 4, steps: 35, learningRate: 0.002, stop: "never" });
		expect(cw.fooled).toBe(4);
		const pgd = (epsilon: number): AttackSpecInput => ({ name: "pgd", norm: "l2", epsilon, stepSize: epsilon / 5, steps: 10 });
		const each = await smallest(pgd, [0.1, 0.15, 0.22, 0.32, 0.47, 0.7]);
		expect(mean(cw.lengths)).toBeLessThan(mean(each));
	});

	it("CW reaches a margin of 10", async () => {
		const { unrounded, cleanLogits, fooled } = await attack({ name: "cw", c: 0.3, searchSteps: 2, steps: 40, stop: "never" });
		expect(fooled).toBe(4);
		const logits = await classifier.predict(unrounded);
		for (const [n] of ids.entries()) {
			const [z, before] = [row(logits, n).data, argmax(row(cleanLogits, n).data)];
			expect(Math.max(...z.filter((_, k) => k !== before)) - z[before]).toBeGreaterThan(9.99);
		}
	});

	it("DeepFool fools it from nearer than FGSM does with as many images fooled, under L2 and L-infinity, and as stored", async () => {
		for (const [norm, budgets] of [
			["l2", [0.08, 0.12, 0.17, 0.23, 0.32, 0.45, 0.6, 0.9]],
			["linf", [0.0007, 0.001, 0.0014, 0.002, 0.0028, 0.004, 0.006, 0.01]],
		] as const) {
			const { lengths, fooled, outcomes } = await attack({ name: "deepfool", norm });
			expect([fooled, outcomes.filter((o) => o.success).length]).toEqual([4, 4]);
			expect(mean(lengths)).toBeLessThan(mean(await smallest((epsilon) => ({ name: "fgsm", norm, epsilon }), budgets)));
		}
	});
});
