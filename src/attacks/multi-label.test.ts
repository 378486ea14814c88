/** @file Attacks on images with several labels, on the bundled classifier and scenes. */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openCoco } from "../datasets/coco.ts";
import { multiHot } from "../datasets/targets.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import { openClip } from "../models/clip.ts";
import { row, stack, tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { criteria, topLabels } from "./criteria.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const canvas = { height: 64, width: 64 };
const classifier = await openClip({ folder: path("models/mini-clip"), canvas });
afterAll(() => classifier.close());
const { samples } = await openCoco({ images: path("data/scenes/val"), annotations: path("data/scenes/annotations/instances_val.json") });
const chosen = samples.slice(0, 12);
const input = {
	images: stack(await Promise.all(chosen.map(async (s) => toCanvas(await decodeImage(s.path), canvas).canvas))),
	truth: stack(chosen.map((s) => tensor(multiHot(s, classifier.labels), [classifier.labels.length]))),
	ids: chosen.map((s) => s.id),
	seed: 1,
};
const attack = (spec: object) =>
	runAttack(
		createAttack({ name: "pgd", start: "clean", epsilon: "8/255", stepSize: "2/255", steps: 10, ...spec } as AttackSpecInput),
		classifier,
		input,
	);
const found = (logits: Float32Array) => [...logits.keys()].filter((k) => logits[k] > classifier.thresholds[k]);

describe("attacks on images with several labels", () => {
	it("the ranking loss drives all true labels out of the top k, more often than losses that do not know k", async () => {
		const success = async (spec: object) =>
			(await attack({ labels: "all-true", criterion: "top-k-lost", ...spec })).outcomes.filter((o) => o.success).length;
		const ranked = await attack({ loss: "ranking" });
		expect(ranked.options).toMatchObject({ labels: "all-true", criterion: "top-k-lost", k: 3 });
		ranked.outcomes.forEach((o, n) => {
			const lost = topLabels(row(ranked.logits, n).data, 3).every((k) => row(input.truth, n).data[k] === 0);
			expect(o.success).toBe(lost);
		});
		const [ranking, any] = [ranked.outcomes.filter((o) => o.success).length, await success({ loss: "set-margin" })];
		expect(ranking).toBeGreaterThan(any + 2);
		expect(await success({ loss: "ranking", k: 1 })).toBeGreaterThan(ranking);
	});

	it("a set of targets becomes the top labels, or the only ones that are found", async () => {
		const target = { labels: ["giraffe", "kite"] };
		const top = await attack({ target, loss: "margin", epsilon: 0.1, stepSize: 0.02, steps: 15 });
		expect(top.options.criterion).toBe("target-reached");
		expect(top.outcomes[0].target).toBe("giraffe + kite");
		const wanted = target.labels.map((label) => classifier.labels.indexOf(label)).sort();
		top.outcomes.forEach((o, n) => {
			expect(o.success).toBe(topLabels(row(top.logits, n).data, 2).sort().join() === wanted.join());
		});
		expect(top.outcomes.filter((o) => o.success).length).toBeGreaterThan(8);
		const set = await attack({ target, loss: "bce", criterion: "target-set-reached", epsilon: 0.1, stepSize: 0.02, steps: 15 });
		set.outcomes.forEach((o, n) => {
			expect(o.success).toBe(found(row(set.logits, n).data).sort().join() === wanted.join());
		});
		expect(set.outcomes.filter((o) => o.success).length).toBeGreaterThan(8);
	});

	it("losing all true labels is harder than losing one", async () => {
		const result = await attack({ loss: "bce", labels: "all-true", epsilon: "4/255", stepSize: "1/255" });
		const meeting = (criterion: "any-true-label-lost" | "all-true-labels-lost") =>
			chosen.filter((_, n) => {
				const [clean, logits, truth] = [result.cleanLogits, result.logits, input.truth].map((t) => row(t, n).data);
				return criteria[criterion]({ clean, logits, truth, thresholds: classifier.thresholds });
			}).length;
		expect(meeting("any-true-label-lost")).toBeGreaterThan(8);
		expect(meeting("all-true-labels-lost")).toBeLessThan(meeting("any-true-label-lost"));
	});

	it("names an unknown label among the targets", async () => {
		await expect(attack({ target: { labels: ["dog", "unicorn"] } })).rejects.toThrow(/found unicorn/);
	});
});
