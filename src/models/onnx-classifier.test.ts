import { existsSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { COCO_CATEGORIES } from "../datasets/coco-categories.ts";
import { graphBuilder } from "../onnx/index.ts";
import { random } from "../tensor/random.ts";
import { row, stack, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import type { Classifier, LossName } from "./classifier.ts";
import { type OnnxClassifierOptions, openOnnxClassifier } from "./onnx-classifier.ts";

const labels = Array.from({ length: 10 }, (_, k) => `${k}`);
const tinyCnn: OnnxClassifierOptions = {
	model: new URL("../../test/golden/tiny-cnn.onnx", import.meta.url).pathname,
	labels,
	scores: { kind: "logits", output: "logits" },
	canvas: { height: 24, width: 20 },
	preprocessing: {
		resize: { to: { height: 16, width: 16 }, filter: "bicubic" },
		channels: "bgr",
		mean: [0.1, 0, -0.1],
		std: [0.9, 1, 1.1],
	},
	batch: 3,
};
const images = tensor(random(2, "pixels").uniforms(5 * 3 * 24 * 20, 0.2, 0.8), [5, 3, 24, 20]);
const targets = tensor(
	Float32Array.from({ length: 50 }, (_, i) => (i % 10 === 3 || i % 10 === 7 ? 1 : 0)),
	[5, 10],
);

const opened: Classifier[] = [];
const open = async (options: Partial<OnnxClassifierOptions> = {}) => {
	const classifier = await openOnnxClassifier({ ...tinyCnn, ...options });
	opened.push(classifier);
	return classifier;
};
afterAll(async () => {
	for (const classifier of opened) await classifier.close();
});

const inner = (a: Float32Array, b: Float32Array) => a.reduce((s, v, i) => s + v * b[i], 0);
const shifted = (x: Tensor, direction: Float32Array, by: number) =>
	tensor(
		x.data.map((v, i) => v + by * direction[i]),
		x.dims,
	);

describe("openOnnxClassifier", () => {
	it.each<LossName>(["cross-entropy", "set-cross-entropy", "bce", "margin"])(
		"gives the gradient of %s with respect to canvas pixels",
		async (loss) => {
			const classifier = await open({ threshold: 0.3 });
			const of = await classifier.lossGradient(loss);
			const one = (x: Tensor) => of(x, targets);
			const { gradient, logits } = await one(images);
			expect(gradient.dims).toEqual(images.dims);
			expect(logits.data).toEqual((await classifier.predict(images)).data);
			const direction = random(3, loss).normals(images.data.length);
			const step = 5e-4;
			const [up, down] = [await one(shifted(images, direction, step)), await one(shifted(images, direction, -step))];
			const size = 3 * 24 * 20;
			for (let n = 0; n < 5; n++) {
				const slope = (up.loss[n] - down.loss[n]) / (2 * step);
				const expected = inner(row(gradient, n).data, direction.subarray(n * size, (n + 1) * size));
				expect(Math.abs(slope - expected)).toBeLessThan(0.02 * Math.abs(expected) + 5e-3);
			}
		},
	);

	it("computes the losses that the contract defines", async () => {
		const classifier = await open({ threshold: 0.3 });
		const z = row(await classifier.predict(images), 0).data;
		const t = row(targets, 0).data;
		const loss = async (name: LossName) => (await (await classifier.lossGradient(name))(images, targets)).loss[0];
		const logSum = Math.log(z.reduce((s, v) => s + Math.exp(v), 0));
		expect(await loss("cross-entropy")).toBeCloseTo(-z.reduce((s, v, k) => s + t[k] * (v - logSum), 0), 4);
		expect(await loss("set-cross-entropy")).toBeCloseTo(logSum - Math.log(z.reduce((s, v, k) => s + t[k] * Math.exp(v), 0)), 4);
		const u = z.map((v, k) => v - classifier.thresholds[k]);
		expect(await loss("bce")).toBeCloseTo(
			u.reduce((s, v, k) => s + Math.log1p(Math.exp(v)) - t[k] * v, 0),
			4,
		);
		const of = (present: boolean) => [...z].filter((_, k) => t[k] > 0 === present);
		expect(await loss("margin")).toBeCloseTo(Math.max(...of(false)) - Math.min(...of(true)), 4);
	});

	it("gives each image the same bits alone, in any order and in any batch", async () => {
		const classifier = await open();
		const of = await classifier.lossGradient("cross-entropy");
		const whole = await of(images, targets);
		const order = [4, 0, 2, 1];
		const pick = (t: Tensor, rows: number[]) => stack(rows.map((n) => row(t, n)));
		const mixed = await of(pick(images, order), pick(targets, order));
		expect(mixed.gradient.data).toEqual(pick(whole.gradient, order).data);
		expect(mixed.logits.data).toEqual(pick(whole.logits, order).data);
		const alone = await of(pick(images, [3]), pick(targets, [3]));
		expect(alone.gradient.data).toEqual(pick(whole.gradient, [3]).data);
		expect((await classifier.predict(zeros([0, 3, 24, 20]))).dims).toEqual([0, 10]);
	});

	it("is named by what decides its outputs", async () => {
		const { hash } = await open();
		expect((await open()).hash).toBe(hash);
		for (const change of [
			{ threshold: 0.4 },
			{ labels: [...labels].reverse() },
			{ preprocessing: { ...tinyCnn.preprocessing, scale: 2 } },
		]) {
			expect((await open(change)).hash).not.toBe(hash);
		}
	});

	it("refuses what does not fit", async () => {
		await expect(open({ labels: labels.slice(1) })).rejects.toThrow(/9 labels are given, found \[3, 10\]/);
		await expect(open({ threshold: [0.5] })).rejects.toThrow(/one for each of 10 labels/);
		await expect(open({ scores: { kind: "logits", output: "scores" } })).rejects.toThrow(/found scores/);
		await expect(open({ preprocessing: {} })).rejects.toThrow(/expected an input \[batch, 3, 16, 16\], found \[3, 3, 24, 20\]/);
		const classifier = await open();
		await expect(classifier.predict(zeros([1, 3, 16, 16]))).rejects.toThrow(/images for tiny-cnn/);
		const round = graphBuilder({ name: "round" });
		round.input("x", "float", ["batch", 3, 24, 20]);
		const floor = round.op("Floor", [round.op("ReduceMax", ["x", round.ints([2, 3])], { keepdims: 0 })], {}, { name: "logits" });
		round.output(floor, "float", ["batch", 3]);
		const stepped = await openOnnxClassifier({
			...tinyCnn,
			preprocessing: {},
			labels: ["a", "b", "c"],
			model: { graph: round.build(), name: "round", hash: "" },
		});
		await expect(stepped.lossGradient("bce")).rejects.toThrow(/Floor/);
		await stepped.close();
		const g = graphBuilder({ name: "two" });
		for (const name of ["a", "b"]) g.input(name, "float", ["batch", 3, 4, 4]);
		g.output(g.op("Add", ["a", "b"], {}, { name: "logits" }), "float", ["batch", 3, 4, 4]);
		await expect(open({ model: { graph: g.build(), name: "two", hash: "" } })).rejects.toThrow(/one float image.*a: float.*b: float/);
	});
});

const yolox = "../shared/models/yolox_nano.onnx";

describe.skipIf(!existsSync(yolox))("YOLOX-nano as a classifier", () => {
	it("has a gradient through its head, its resizes and its pools", async () => {
		const canvas = { height: 416, width: 416 };
		const coco = COCO_CATEGORIES.map((c) => c.name);
		const scores = { kind: "max-over-rows", output: "output", objectness: 4, classes: [5, 85] } as const;
		const classifier = await open({
			model: yolox,
			labels: coco,
			scores: { ...scores, classes: [5, 85] },
			canvas,
			preprocessing: { channels: "bgr", scale: 255 },
		});
		const pixels = tensor(random(4, "noise").uniforms(3 * 416 * 416), [1, 3, 416, 416]);
		const wanted = tensor(
			Float32Array.from(coco, (label) => (label === "cat" ? 1 : 0)),
			[1, 80],
		);
		const of = await classifier.lossGradient("cross-entropy");
		const { gradient, loss } = await of(pixels, wanted);
		const length = Math.sqrt(inner(gradient.data, gradient.data));
		const direction = gradient.data.map((v) => v / length);
		const step = 0.02;
		const slope =
			((await of(shifted(pixels, direction, step), wanted)).loss[0] - (await of(shifted(pixels, direction, -step), wanted)).loss[0]) /
			(2 * step);
		expect(loss[0]).toBeGreaterThan(0);
		expect(Math.abs(slope / length - 1)).toBeLessThan(0.1);
	});
});
