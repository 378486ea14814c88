import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import { random } from "../tensor/random.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { type Attack, runAttack } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { distance } from "./threat-model.ts";

const classifier = analyticClassifier();
const ids = ["a", "b", "c", "d", "e", "f"];
const images = tensor(
	random(5, "images")
		.uniforms(ids.length * 48)
		.map((v) => Math.round(v * 255) / 255),
	[ids.length, 3, 4, 4],
);
const run = (spec: AttackSpecInput, input: Partial<Parameters<typeof runAttack>[2]> = {}, model = classifier) =>
	runAttack(createAttack(spec), model, { images, ids, seed: 3, ...input });
const rate = (outcomes: { success: boolean }[]) => outcomes.filter((o) => o.success).length / outcomes.length;
const pick = (t: Tensor, rows: number[]) => stack(rows.map((n) => row(t, n)));

describe("runAttack", () => {
	it("keeps every attack inside its budget and on the 8-bit lattice", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom<AttackSpecInput>(
					{ name: "fgsm" },
					{ name: "noise" },
					{ name: "pgd", stepSize: 0.3, steps: 3 },
					{ name: "pgd", norm: "l2", stepSize: 0.3, steps: 3, epsilon: 0.5 },
					{ name: "pgd", stepSize: 0.3, steps: 2, restarts: 2 },
					{ name: "fgsm", norm: "l2", epsilon: 0.5 },
					{ name: "mi-fgsm", stepSize: 0.3, steps: 3, start: "uniform" },
					{ name: "di-fgsm", stepSize: 0.3, steps: 3, diversity: 1 },
					{ name: "ti-fgsm", stepSize: 0.3, steps: 3 },
				),
				fc.double({ min: 0.004, max: 1.2, noNaN: true }),
				async (spec, epsilon) => {
					const result = await run({ ...spec, epsilon });
					for (const { linf, l2 } of result.outcomes) expect(spec.norm === "l2" ? l2 : linf).toBeLessThanOrEqual(epsilon + 1e-6);
					for (const v of result.images.data) expect(v).toBe(Math.fround(Math.round(Math.min(1, Math.max(0, v)) * 255) / 255));
				},
			),
			{ numRuns: 40 },
		);
	});

	it("does not believe an attack that leaves the ball, returns NaN or changes its input", async () => {
		const liar: Attack = {
			options: createAttack({ name: "fgsm", epsilon: 0.05 }).options,
			perturb: async ({ images: given }) =>
				tensor(
					given.data.map((_, i) => (i === 0 ? Number.NaN : 9)),
					given.dims,
				),
		};
		const { outcomes, images: result } = await runAttack(liar, classifier, { images, ids, seed: 1 });
		expect(Math.max(...outcomes.map((o) => o.linf))).toBe(12 / 255);
		expect(outcomes.map((o) => o.nanCount)).toEqual([1, 0, 0, 0, 0, 0]);
		expect(result.data[0]).toBe(images.data[0]);
	});

	it("judges the rounded image as a second look at it does", async () => {
		const result = await run({ name: "fgsm", epsilon: 0.1 });
		const again = await classifier.predict(result.images);
		expect(result.logits.data).toEqual(again.data);
		result.outcomes.forEach((o, n) => {
			expect(o.success).toBe(o.topBefore.label !== o.topAfter.label);
			expect({ linf: o.linf, l2: o.l2 }).toEqual(distance(row(result.images, n).data, row(images, n).data));
		});
	});

	it("succeeds more often with a larger epsilon, with more steps, and more often than noise", async () => {
		const rates = await Promise.all([0.01, 0.05, 0.2].map(async (epsilon) => rate((await run({ name: "fgsm", epsilon })).outcomes)));
		expect(rates).toEqual([...rates].sort((a, b) => a - b));
		expect(rates[2]).toBeGreaterThan(rates[0]);
		expect(rates[2]).toBeGreaterThan(rate((await run({ name: "noise", epsilon: 0.2 })).outcomes));
		expect(rate((await run({ name: "pgd", epsilon: 0.2 })).outcomes)).toBeGreaterThanOrEqual(rates[2]);
	});

	it("takes an L2 step of FGSM along the gradient itself, of length epsilon", async () => {
		const grey = tensor(new Float32Array(48).fill(128 / 255), [1, 3, 4, 4]);
		const { unrounded } = await run({ name: "fgsm", norm: "l2", epsilon: 0.3 }, { images: grey, ids: ["grey"] });
		const clean = await classifier.predict(grey);
		const top = tensor(
			clean.data.map((v) => (v === Math.max(...clean.data) ? 1 : 0)),
			[1, 5],
		);
		const { gradient } = await (await classifier.lossGradient("cross-entropy"))(grey, top);
		const length = Math.hypot(...gradient.data);
		gradient.data.forEach((g, i) => {
			expect(unrounded.data[i] - grey.data[i]).toBeCloseTo((0.3 * g) / length, 6);
		});
	});

	it("lowers the target's loss and reaches the target", async () => {
		const spec: AttackSpecInput = { name: "pgd", target: "random", epsilon: 0.5, stepSize: 0.02, steps: 80 };
		const result = await run(spec);
		const targets = stack(
			result.outcomes.map((o) =>
				tensor(
					Float32Array.from(classifier.labels, (l) => (l === o.target ? 1 : 0)),
					[5],
				),
			),
		);
		const lossOf = await classifier.lossGradient("cross-entropy");
		const before = (await lossOf(images, targets)).loss;
		const after = (await lossOf(result.images, targets)).loss;
		after.forEach((loss, n) => {
			expect(loss).toBeLessThan(before[n]);
		});
		expect(rate(result.outcomes)).toBe(1);
		for (const o of result.outcomes) expect(o.topAfter.label).toBe(o.target);
	});

	it("wants the same label of an image in every attack", async () => {
		const targets = async (spec: AttackSpecInput) =>
			(await run({ ...spec, target: "random" } as AttackSpecInput)).outcomes.map((o) => o.target);
		expect(await targets({ name: "fgsm" })).toEqual(await targets({ name: "pgd", steps: 1 }));
	});

	it.each<AttackSpecInput>([
		{ name: "pgd" },
		{ name: "pgd", norm: "l2", epsilon: 0.6, stepSize: 0.1, start: "radial" },
		{ name: "noise", epsilon: 0.1 },
		{ name: "pgd", target: "random", earlyStop: true },
	])("gives an image the same result in any batch and order: %o", async (spec) => {
		const whole = await run(spec);
		const order = [4, 1, 3];
		const part = await run(spec, { images: pick(images, order), ids: order.map((n) => ids[n]) });
		expect(part.images.data).toEqual(pick(whole.images, order).data);
		expect(part.outcomes).toEqual(order.map((n) => whole.outcomes[n]));
	});

	it("repeats itself for a seed and differs for another seed or repetition", async () => {
		const first = await run({ name: "pgd", steps: 2 });
		expect((await run({ name: "pgd", steps: 2 })).images.data).toEqual(first.images.data);
		expect((await run({ name: "pgd", steps: 2 }, { seed: 4 })).images.data).not.toEqual(first.images.data);
		expect((await run({ name: "pgd", steps: 2 }, { repetition: 1 })).images.data).not.toEqual(first.images.data);
	});

	it.each<[AttackSpecInput & { name: "pgd" }, number, number]>([
		[{ name: "pgd", norm: "l2", start: "uniform" }, 0.97, 1],
		[{ name: "pgd", norm: "l2", start: "radial" }, 0.4, 0.6],
		[{ name: "pgd", norm: "linf", start: "uniform" }, 0.55, 0.6],
		[{ name: "pgd", norm: "l2", start: "clean" }, 0, 0],
	])("starts where it says: %o", async (spec, low, high) => {
		const grey = Array.from({ length: 40 }, () => tensor(new Float32Array(48).fill(128 / 255), [3, 4, 4]));
		const input = { images: stack(grey), ids: grey.map((_, n) => `${n}`) };
		const { unrounded } = await run({ ...spec, epsilon: 0.4, stepSize: 0, steps: 1 }, input);
		const lengths = grey.map((image, n) => Math.hypot(...row(unrounded, n).data.map((v, i) => v - image.data[i])));
		// A uniform point of the cube is sqrt(48 / 3) epsilon long; one of the 48-dimensional ball lies near its surface.
		const unit = spec.norm === "linf" ? 0.4 * Math.sqrt(48) : 0.4;
		const mean = lengths.reduce((s, v) => s + v, 0) / lengths.length / unit;
		expect(mean).toBeGreaterThanOrEqual(low);
		expect(mean).toBeLessThanOrEqual(high);
		expect(new Set(lengths).size).toBe(spec.start === "clean" ? 1 : 40);
	});

	it("lets images leave the batch once they are fooled", async () => {
		const full = await run({ name: "pgd", epsilon: 0.3 });
		const early = await run({ name: "pgd", epsilon: 0.3, earlyStop: true });
		expect(full.outcomes.map((o) => o.gradientEvaluations)).toEqual(Array(6).fill(40));
		early.outcomes.forEach((o, n) => {
			expect(o.successBeforeRounding).toBe(true);
			expect(o.gradientEvaluations).toBeLessThan(40);
			expect(o.l2).toBeLessThanOrEqual(full.outcomes[n].l2);
		});
	});

	it("tells an image that was wrong from the start from one that was fooled", async () => {
		const truth = tensor(new Float32Array(30), [6, 5]);
		const clean = await classifier.predict(images);
		for (let n = 0; n < 6; n++) {
			const logits = [...row(clean, n).data];
			truth.data[n * 5 + (n === 0 ? logits.indexOf(Math.min(...logits)) : logits.indexOf(Math.max(...logits)))] = 1;
		}
		const result = await run({ name: "fgsm", criterion: "top-label-wrong", epsilon: 0.01 }, { truth });
		expect(result.outcomes.map((o) => o.alreadyFooled)).toEqual([true, false, false, false, false, false]);
	});

	it("attacks all losses it offers", async () => {
		for (const loss of ["cross-entropy", "set-cross-entropy", "bce", "margin", "set-margin", "ranking"] as const) {
			const truth = tensor(
				Float32Array.from({ length: 30 }, (_, i) => (i % 5 < 2 ? 1 : 0)),
				[6, 5],
			);
			const lossOf = await classifier.lossGradient(loss);
			const result = await run({ name: "pgd", loss, labels: "all-true" }, { truth });
			const [before, after] = [(await lossOf(images, truth)).loss, (await lossOf(result.images, truth)).loss];
			after.forEach((value, n) => {
				expect(value).toBeGreaterThan(before[n]);
			});
		}
	});

	it("reports zero and broken gradients", async () => {
		const zero = await run({ name: "fgsm" }, {}, analyticClassifier({ gradient: "zero" }));
		expect(zero.outcomes.every((o) => o.zeroGradient && o.linf === 0)).toBe(true);
		expect(zero.warnings.join()).toMatch(/6 of 6 images met a gradient of zero/);
		const nan = await run({ name: "pgd", steps: 3, start: "clean" }, {}, analyticClassifier({ gradient: "nan" }));
		expect(nan.outcomes.map((o) => o.nanCount)).toEqual(Array(6).fill(3));
		expect(nan.warnings.join()).toMatch(/6 of 6 images met values that are not finite/);
		expect((await run({ name: "fgsm" })).outcomes.some((o) => o.zeroGradient)).toBe(false);
	});

	it("warns of options that look like a mistake", async () => {
		const warnings = async (spec: AttackSpecInput) => (await run(spec, { truth: tensor(new Float32Array(30).fill(1), [6, 5]) })).warnings;
		expect((await warnings({ name: "fgsm", epsilon: 8 }))[0]).toMatch(/8\/255 meant/);
		expect((await warnings({ name: "fgsm", epsilon: 0.002 }))[0]).toMatch(/rounding to 8 bits removes/);
		expect((await warnings({ name: "pgd", epsilon: 0.1, stepSize: 0.001, steps: 5 }))[0]).toMatch(/cannot reach/);
		expect(await warnings({ name: "fgsm", epsilon: 0.1 })).toEqual([]);
	});

	it("rounds clean images that are not 8-bit first, and says so", async () => {
		const result = await run(
			{ name: "fgsm", epsilon: 0.1 },
			{
				images: tensor(
					images.data.map((v) => v * 0.999),
					images.dims,
				),
			},
		);
		expect(result.warnings.join()).toMatch(/rounded to 8 bits first/);
		expect(Math.max(...result.outcomes.map((o) => o.linf))).toBeLessThanOrEqual(0.1);
	});

	it("refuses bad input", async () => {
		const broken = (value: number) =>
			tensor(
				images.data.map((v, i) => (i === 50 ? value : v)),
				images.dims,
			);
		await expect(run({ name: "fgsm" }, { images: broken(Number.NaN) })).rejects.toThrow(/image b: expected pixels in \[0, 1\], found NaN/);
		await expect(run({ name: "fgsm" }, { images: broken(1.2) })).rejects.toThrow(/found 1.2/);
		await expect(run({ name: "fgsm" }, { images: broken(-0.1) })).rejects.toThrow(/found -0.1/);
		await expect(run({ name: "fgsm" }, { ids: ["a"] })).rejects.toThrow(/6 images, 1 ids/);
		await expect(run({ name: "fgsm" }, { images: tensor(new Float32Array(75), [1, 3, 5, 5]), ids: ["a"] })).rejects.toThrow(/dims/);
		await expect(run({ name: "fgsm" }, { truth: tensor(new Float32Array(6), [6, 1]) })).rejects.toThrow(/true labels/);
	});

	it("reports progress and stops when it is cancelled", async () => {
		const seen: number[] = [];
		await run({ name: "pgd", steps: 4 }, { onProgress: (done) => seen.push(done) });
		expect(seen).toEqual([0.25, 0.5, 0.75, 1]);
		const controller = new AbortController();
		const cancelled = run({ name: "pgd" }, { signal: controller.signal, onProgress: () => controller.abort() });
		await expect(cancelled).rejects.toThrow(/abort/i);
	});
});
