/** @file FGSM and PGD on the bundled classifier and scenes: what the bundled world promises of them. */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openCoco } from "../datasets/coco.ts";
import { multiHot } from "../datasets/targets.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import { openClip } from "../models/clip.ts";
import { row, stack, tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const canvas = { height: 64, width: 64 };
const classifier = await openClip({ folder: path("models/mini-clip"), canvas });
afterAll(() => classifier.close());
const { samples } = await openCoco({ images: path("data/scenes/val"), annotations: path("data/scenes/annotations/instances_val.json") });

async function load(count: number) {
	const chosen = samples.slice(0, count);
	return {
		images: stack(await Promise.all(chosen.map(async (s) => toCanvas(await decodeImage(s.path), canvas).canvas))),
		truth: stack(chosen.map((s) => tensor(multiHot(s, classifier.labels), [classifier.labels.length]))),
		ids: chosen.map((s) => s.id),
		seed: 1,
	};
}

const successes = async (spec: AttackSpecInput, count: number) => {
	const { outcomes } = await runAttack(createAttack(spec), classifier, await load(count));
	return outcomes.filter((o) => o.success && !o.alreadyFooled).length / count;
};

describe("attacks on the bundled classifier", () => {
	it("start from images whose top label is right", async () => {
		const { images, truth } = await load(24);
		const logits = await classifier.predict(images);
		const right = Array.from({ length: 24 }, (_, n) => row(truth, n).data[row(logits, n).data.indexOf(Math.max(...row(logits, n).data))]);
		expect(right.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(22);
	});

	it("reach nearly every target in 40 steps of 0.01", async () => {
		expect(await successes({ name: "pgd", target: "random" }, 8)).toBeGreaterThan(0.9);
	});

	it("make the top label wrong more often with a larger epsilon, and more often than noise", async () => {
		const spec = { criterion: "top-label-wrong" } as const;
		const fgsm = { ...spec, name: "fgsm", loss: "set-cross-entropy", labels: "all-true" } as const;
		const [small, large] = [await successes({ ...fgsm, epsilon: 0.05 }, 24), await successes({ ...fgsm, epsilon: 0.2 }, 24)];
		expect(large).toBeGreaterThan(small);
		expect(small).toBeGreaterThan(await successes({ ...spec, name: "noise", epsilon: 0.05 }, 24));
	});

	it("PGD: succeed at least as often with a larger epsilon, and always without one", async () => {
		const spec = {
			name: "pgd",
			start: "clean",
			steps: 10,
			labels: "all-true",
			loss: "set-cross-entropy",
			criterion: "top-label-wrong",
		} as const;
		const at = (levels: number) => successes({ ...spec, epsilon: levels / 255, stepSize: levels / 4 / 255 }, 16);
		const rates = [await at(0.5), await at(1), await at(2), await at(4)];
		expect(rates).toEqual([...rates].sort((a, b) => a - b));
		expect(rates[0]).toBeLessThan(rates[3]);
		expect(await successes({ ...spec, epsilon: "unbounded", stepSize: 0.05 }, 16)).toBe(1);
	});
});
