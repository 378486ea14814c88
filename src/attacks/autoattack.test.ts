/** @file AutoAttack against its parts, and its warnings, on classifiers that deserve them. */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { floats, integers, LABELS, openTinyCnn } from "../../test/support/autoattack.ts";
import { openCoco } from "../datasets/coco.ts";
import { multiHot } from "../datasets/targets.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import type { Classifier } from "../models/classifier.ts";
import { openClip } from "../models/clip.ts";
import { random } from "../tensor/random.ts";
import { stack, tensor } from "../tensor/tensor.ts";
import { type AttackResult, runAttack, takeRows } from "./attack.ts";
import { type AutoAttackOptions, createPart } from "./autoattack.ts";
import { type AttackSpecInput, attackSchema, createAttack } from "./schema.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const tiny = await openTinyCnn(8);
const canvas = { height: 64, width: 64 };
const clip = await openClip({ folder: path("models/mini-clip"), canvas });
afterAll(() => Promise.all([tiny.close(), clip.close()]));

type Input = Parameters<typeof runAttack>[2];
type Spec = Omit<Extract<AttackSpecInput, { name: "autoattack" }>, "name">;
const optionsOf = (spec: Spec) => attackSchema.parse({ name: "autoattack", preset: "autoattack", ...spec }) as AutoAttackOptions;
const run = (spec: Spec, classifier: Classifier, input: Input) => runAttack(createAttack(optionsOf(spec)), classifier, input);
const successes = ({ outcomes }: AttackResult) => outcomes.map((o) => o.success);

function shapes(count: number): Input {
	const rows = Array.from({ length: count }, (_, n) => n);
	const truth = integers("y")
		.slice(0, count)
		.map((y) =>
			tensor(
				Float32Array.from(LABELS, (_, k) => Number(k === y)),
				[LABELS.length],
			),
		);
	return { images: takeRows(floats("x"), rows), truth: stack(truth), ids: rows.map(String), seed: 1 };
}

async function scenes(count: number): Promise<Input> {
	const { samples } = await openCoco({ images: path("data/scenes/val"), annotations: path("data/scenes/annotations/instances_val.json") });
	const chosen = samples.slice(0, count);
	return {
		images: stack(await Promise.all(chosen.map(async (s) => toCanvas(await decodeImage(s.path), canvas).canvas))),
		truth: stack(chosen.map((s) => tensor(multiHot(s, clip.labels), [clip.labels.length]))),
		ids: chosen.map((s) => s.id),
		seed: 1,
	};
}

/** Asserts that every image which a part fools alone is fooled by the sequence; returns how many each fools. */
async function compare(spec: Spec, classifier: Classifier, input: Input): Promise<{ all: number; parts: number[] }> {
	const options = optionsOf(spec);
	const whole = successes(await runAttack(createAttack(options), classifier, input));
	const parts: number[] = [];
	for (const name of options.attacks) {
		const alone = successes(await runAttack(createPart(name, options), classifier, input));
		for (const [n, success] of alone.entries()) if (success) expect(whole[n], `image ${n}, fooled by ${name}`).toBe(true);
		parts.push(alone.filter(Boolean).length);
	}
	return { all: whole.filter(Boolean).length, parts };
}

describe("AutoAttack", () => {
	const short = { version: "custom", steps: 6, queries: 100, targetClasses: 2 } as const;

	it.each<Spec>([
		{ ...short, epsilon: "6/255", attacks: ["square", "apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t"] },
		{ ...short, epsilon: 0.5, norm: "l2", attacks: ["fab-t", "square", "apgd-t"], restarts: 2 },
	])("fools every image that one of its parts fools alone: %o", async (spec) => {
		const { all, parts } = await compare(spec, tiny, shapes(24));
		expect(all).toBeGreaterThan(Math.min(...parts));
		expect(all).toBeLessThan(24);
	});

	it("fools the scenes of the bundled classifier at 4/255 at least as often as each of its parts", async () => {
		const spec: Spec = { ...short, epsilon: "4/255", attacks: ["apgd-ce", "apgd-t", "fab-t", "square"], steps: 5, queries: 30 };
		const { all, parts } = await compare(spec, clip, await scenes(4));
		expect(all).toBeGreaterThanOrEqual(Math.max(...parts));
		expect(all).toBeGreaterThan(0);
	});

	it("asks no further part about an image that is fooled", async () => {
		const input = shapes(24);
		const one = await run({ ...short, epsilon: "6/255", attacks: ["apgd-ce"] }, tiny, input);
		const two = await run({ ...short, epsilon: "6/255", attacks: ["apgd-ce", "apgd-t"] }, tiny, input);
		for (const [n, o] of one.outcomes.entries()) {
			if (o.success) expect(two.outcomes[n].gradientEvaluations).toBe(o.gradientEvaluations);
			else expect(two.outcomes[n].gradientEvaluations).toBeGreaterThan(o.gradientEvaluations);
		}
	});

	it("reports progress through all parts", async () => {
		const seen: number[] = [];
		await run({ ...short, epsilon: "3/255", attacks: ["apgd-ce", "square"] }, tiny, {
			...shapes(4),
			onProgress: (done) => seen.push(done),
		});
		expect(seen).toEqual([...seen].sort((a, b) => a - b));
		expect(seen.at(-1)).toBe(1);
		expect(seen.some((done) => done > 0 && done < 0.5)).toBe(true);
	});
});

describe("AutoAttack's warnings", () => {
	const short: Spec = { version: "custom", epsilon: 0.1, steps: 3, queries: 100, targetClasses: 2, attacks: ["apgd-ce", "square"] };
	const images = tensor(
		random(5, "images")
			.uniforms(12 * 48)
			.map((v) => Math.round(v * 255) / 255),
		[12, 3, 4, 4],
	);
	const input = { images, ids: Array.from({ length: 12 }, (_, n) => `${n}`), seed: 1 };
	const warnings = async (spec: Spec, classifier: Classifier) =>
		(await run({ criterion: "label-changed", ...spec }, classifier, input)).warnings.join("\n");

	it("are silent about a sound classifier", async () => {
		expect(await warnings(short, analyticClassifier())).not.toMatch(/random|probabilities|square|labels are|zero/);
	});

	it("tell of a random classifier, unless its gradients are averaged", async () => {
		const sound = analyticClassifier();
		const draws = random(1, "noise");
		const noisy: Classifier = {
			...sound,
			async predict(x) {
				const { data, dims } = await sound.predict(x);
				return tensor(
					data.map((z) => z + 0.01 * draws.normal()),
					dims,
				);
			},
		};
		expect(await warnings(short, noisy)).toMatch(/12 of 12 images got different logits .* version rand/);
		expect(await warnings({ ...short, eot: 2 }, noisy)).not.toMatch(/different logits/);
	});

	it("tell of outputs that are probabilities", async () => {
		const sound = analyticClassifier();
		const soft: Classifier = {
			...sound,
			async predict(x) {
				const { data, dims } = await sound.predict(x);
				const rows = Array.from({ length: dims[0] }, (_, n) => data.slice(5 * n, 5 * n + 5).map(Math.exp));
				return tensor(Float32Array.from(rows.flatMap((p) => [...p.map((v) => v / p.reduce((a, b) => a + b, 0))])), dims);
			},
		};
		expect(await warnings(short, soft)).toMatch(/look like probabilities/);
	});

	it("tell of a classifier that masks its gradients", async () => {
		const text = await warnings({ ...short, epsilon: 0.3 }, analyticClassifier({ gradient: "zero" }));
		expect(text).toMatch(/met a gradient of zero everywhere/);
		expect(text).toMatch(/square fooled \d+ of 12 images that withstood/);
	});

	it("tell of too few labels, and leave out what cannot run", async () => {
		const three = analyticClassifier({ labels: ["cat", "dog", "bus"] });
		const spec: Spec = { ...short, attacks: ["apgd-ce", "apgd-t", "fab-t"], targetClasses: 9 };
		const text = await warnings(spec, three);
		expect(text).toMatch(/apgd-t left out: 3 labels are too few/);
		expect(text).toMatch(/only 2 other labels to aim at, custom asks for 9/);
	});

	it("tell of a criterion that is not about the top label", async () => {
		expect(await warnings({ ...short, criterion: "set-changed" }, analyticClassifier())).toMatch(
			/moves the top label; the criterion set-changed/,
		);
	});
});

describe("versions of AutoAttack", () => {
	it("stand for the options that their authors published", () => {
		const standard = { attacks: ["apgd-ce", "apgd-t", "fab-t", "square"], restarts: 1, steps: 100, queries: 5000, targetClasses: 9 };
		expect(optionsOf({})).toMatchObject({ version: "standard", ...standard });
		expect(optionsOf({ version: "rand" })).toMatchObject({ attacks: ["apgd-ce", "apgd-dlr"], eot: 20 });
		expect(optionsOf({ version: "plus" })).toMatchObject({ restarts: 5 });
		expect(optionsOf({ version: "custom", attacks: ["fab"], steps: 7 })).toMatchObject({ attacks: ["fab"], steps: 7, queries: 5000 });
	});

	it.each<[Spec, RegExp]>([
		[{ steps: 10 }, /not what version standard stands for; set version to custom/],
		[{ eot: 5 }, /not what version standard stands for/],
		[{ version: "rand", attacks: ["square"] }, /not what version rand stands for/],
		[{ version: "custom" }, /attacks: .*no default for it/],
	])("are not given other options: %o", (spec, message) => {
		expect(() => createAttack({ name: "autoattack", epsilon: 0.1, ...spec })).toThrow(message);
	});
});
