/** @file What every attack does with broken gradients, broken images and options that are mistakes. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import type { JsonSchema } from "../../test/support/options-table.ts";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, attackSchema, attackSweepSchema, createAttack } from "./schema.ts";

const ids = ["a", "b", "c"];
const images = tensor(
	random("bad input")
		.uniforms(3 * 48)
		.map((v) => Math.round(v * 255) / 255),
	[3, 3, 4, 4],
);

/** One short run of each attack. */
const SPECS: AttackSpecInput[] = [
	{ name: "fgsm", epsilon: 0.1 },
	{ name: "pgd", epsilon: 0.1, steps: 3, restarts: 2 },
	{ name: "mi-fgsm", epsilon: 0.1, steps: 3 },
	{ name: "di-fgsm", epsilon: 0.1, steps: 3 },
	{ name: "ti-fgsm", epsilon: 0.1, steps: 3 },
	{ name: "cw", steps: 5, searchSteps: 2 },
	{ name: "deepfool", steps: 5 },
	{ name: "apgd", epsilon: 0.1, steps: 5, loss: "cross-entropy" },
	{ name: "fab", epsilon: 0.1, steps: 3 },
	{ name: "square", epsilon: 0.1, queries: 20 },
	{ name: "autoattack", epsilon: 0.1, version: "custom", attacks: ["apgd-ce", "square"], steps: 3, queries: 20 },
	{ name: "noise", epsilon: 0.1 },
];
/** Attacks that never ask for a gradient. */
const BLIND = ["square", "noise"];
const byName = SPECS.map((spec) => [spec.name, spec] as const);
const guided = byName.filter(([name]) => !BLIND.includes(name));
const run = (spec: AttackSpecInput, gradient: "exact" | "zero" | "nan") =>
	runAttack(createAttack(spec), analyticClassifier({ gradient }), { images, ids, seed: 1 });

it("knows every attack", () => {
	const { oneOf = [] } = z.toJSONSchema(attackSweepSchema, { io: "input", unrepresentable: "any" }) as JsonSchema;
	expect(SPECS.map(({ name }) => name).sort()).toEqual(oneOf.map(({ properties }) => properties?.name.const).sort());
});

describe("broken gradients", () => {
	it.each(guided)("%s says that every gradient was zero", async (_, spec) => {
		const { outcomes, warnings, images: after } = await run(spec, "zero");
		expect(outcomes.map((o) => o.zeroGradient)).toEqual([true, true, true]);
		expect(warnings.join()).toMatch(/3 of 3 images met a gradient of zero everywhere/);
		expect(after.data.every((v) => v >= 0 && v <= 1)).toBe(true);
	});

	it.each(guided)("%s counts what is not finite and lets none of it into the image", async (_, spec) => {
		const { outcomes, images: after, unrounded } = await run(spec, "nan");
		for (const { nanCount } of outcomes) expect(nanCount).toBeGreaterThan(0);
		for (const v of [...after.data, ...unrounded.data]) expect(v >= 0 && v <= 1).toBe(true);
	});

	it.each(byName)("%s flags nothing where nothing is wrong", async (_, spec) => {
		const { outcomes } = await run(spec, "exact");
		expect(outcomes.map(({ zeroGradient, nanCount }) => [zeroGradient, nanCount])).toEqual(ids.map(() => [false, 0]));
	});
});

describe("broken images and labels", () => {
	const with50 = (value: number) =>
		tensor(
			images.data.map((v, i) => (i === 50 ? value : v)),
			images.dims,
		);
	const truth = (value: number) =>
		tensor(
			Float32Array.from({ length: 15 }, (_, i) => (i === 7 ? value : Number(i % 5 === 0))),
			[3, 5],
		);
	it.each<[string, Partial<Parameters<typeof runAttack>[2]>, RegExp]>([
		["a pixel that is no number", { images: with50(Number.NaN) }, /image b: expected pixels in \[0, 1\], found NaN/],
		["an infinite pixel", { images: with50(Number.POSITIVE_INFINITY) }, /image b: .*found Infinity/],
		["pixels of 0 to 255", { images: with50(128) }, /image b: .*found 128; divide 8-bit pixels by 255/],
		["normalised pixels", { images: with50(-0.5) }, /found -0.5; .*normalisation/],
		["labels by number", { truth: truth(7) }, /true labels of image b: .*found 7 for bus; pass multi-hot labels/],
		["labels that are no numbers", { truth: truth(Number.NaN) }, /found NaN for bus/],
		["probabilities", { truth: truth(0.25) }, /found 0.25/],
		["labels of another classifier", { truth: tensor(new Float32Array(240), [3, 80]) }, /true labels: expected dims \[3, 5\]/],
		["another canvas", { images: tensor(new Float32Array(75), [1, 3, 5, 5]), ids: ["a"] }, /dims \[any, 3, 4, 4\]/],
		["no image", { images: tensor(new Float32Array(0), [0, 3, 4, 4]), ids: [] }, /at least one image/],
	])("%s", async (_, input, message) => {
		const attack = createAttack({ name: "fgsm", epsilon: 0.1 });
		await expect(runAttack(attack, analyticClassifier(), { images, ids, seed: 1, ...input })).rejects.toThrow(message);
	});
});

describe("options that are mistakes", () => {
	it.each<[string, object, RegExp]>([
		["an epsilon that is no number", { epsilon: Number.NaN }, /epsilon/],
		["an infinite epsilon", { epsilon: Number.POSITIVE_INFINITY }, /epsilon/],
		["a fraction without a denominator", { epsilon: "8/" }, /epsilon/],
		["a fraction of nothing", { epsilon: "8/0" }, /epsilon/],
		["no steps", { epsilon: 0.1, steps: 0 }, /steps/],
		["half a step", { epsilon: 0.1, steps: 2.5 }, /steps/],
		["no samples", { epsilon: 0.1, eot: 0 }, /eot/],
		["no restart", { epsilon: 0.1, restarts: 0 }, /restarts/],
	])("%s is refused", (_, options, message) => {
		expect(() => createAttack({ name: "pgd", ...options } as AttackSpecInput)).toThrow(message);
	});

	it.each<[string, object, RegExp]>([
		["an epsilon of 0 to 255", { epsilon: 8, stepSize: 2 }, /epsilon 8 exceeds the pixel range \[0, 1\]: was 8\/255 meant/],
		["an epsilon of 0", { epsilon: 0 }, /no pixel may change/],
		["an epsilon below one level", { epsilon: 0.003 }, /rounding to 8 bits removes/],
		["a step longer than the ball is wide", { epsilon: 0.1, stepSize: 0.3 }, /more than the diameter/],
		["no step size", { epsilon: 0.1, stepSize: 0 }, /does not move/],
		["steps that lead nowhere", { epsilon: 0.1, stepSize: 0.01, steps: 3 }, /3 steps of 0.01 cannot reach epsilon 0.1/],
	])("%s is warned of", async (_, options, message) => {
		const { warnings } = await run(attackSchema.parse({ name: "pgd", steps: 4, ...options }), "exact");
		expect(warnings.join()).toMatch(message);
	});
});
