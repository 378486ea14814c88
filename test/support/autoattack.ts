/** @file The reference results of AutoAttack's own code, and attacks on their images as they are, without rounding them to 8 bits first. */
import { readFileSync } from "node:fs";
import { type Attack, type AttackProblem, runAttack, takeRows } from "../../src/attacks/attack.ts";
import { createAttack } from "../../src/attacks/schema.ts";
import type { Classifier } from "../../src/models/classifier.ts";
import { openOnnxClassifier } from "../../src/models/onnx-classifier.ts";
import { row, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { golden, readTensors } from "../golden/tensors.ts";

export const LABELS = Array.from({ length: 10 }, (_, k) => `${k}`);

type Figure = number | readonly number[] | { readonly robust: number };
const figures = JSON.parse(readFileSync(golden("autoattack.json"), "utf8")) as Record<string, Figure>;

/** The share of images that the original left robust; of several seeds the mean. */
export function robustInOriginal(name: string): number {
	const figure = figures[name];
	if (typeof figure === "number") return figure;
	return "robust" in figure ? figure.robust : figure.reduce((sum, v) => sum + v / figure.length, 0);
}

const tensors = await readTensors(golden("autoattack.safetensors"));

export const floats = (name: string): Tensor => tensors[name] as Tensor;
export const integers = (name: string): number[] => Array.from(tensors[name].data as Int32Array);

export const openTinyCnn = (batch: number): Promise<Classifier> =>
	openOnnxClassifier({
		model: golden("tiny-cnn.onnx"),
		labels: LABELS,
		scores: { kind: "logits", output: "logits" },
		canvas: { height: 16, width: 16 },
		batch,
	});

/** The first images of the reference, with their labels as rows of ones and zeros. */
export function referenceImages(count: number): { images: Tensor; truth: Tensor; ids: string[] } {
	const rows = Array.from({ length: count }, (_, n) => n);
	const hot = integers("y")
		.slice(0, count)
		.flatMap((y) => LABELS.map((_, k) => Number(k === y)));
	const truth = tensor(Float32Array.from(hot), [count, LABELS.length]);
	return { images: takeRows(floats("x"), rows), truth, ids: rows.map(String) };
}

/** Rounding to 8 bits is part of every attack here and of none in the original: `work` gets the problem with the reference's own images. */
export async function onReference<T>(
	classifier: Classifier,
	count: number,
	work: (problem: AttackProblem) => Promise<T>,
	seed = 0,
): Promise<T> {
	const { images, truth, ids } = referenceImages(count);
	const cleanLogits = await classifier.predict(images);
	let result: T | undefined;
	const probe: Attack = {
		options: { ...createAttack({ name: "fgsm", epsilon: 0.03 }).options, labels: "best-true", criterion: "top-label-wrong" },
		async perturb(problem) {
			result = await work({ ...problem, images, cleanLogits });
			return problem.images;
		},
	};
	await runAttack(probe, classifier, { images, truth, ids, seed });
	return result as T;
}

/** Share of the first images that an attack leaves correctly classified. */
export async function robustFraction(attack: Attack, classifier: Classifier, count: number, seed = 0): Promise<number> {
	const robust = async (problem: AttackProblem) => {
		const candidates = await attack.perturb(problem);
		const rows = Array.from({ length: count }, (_, n) => n);
		const logits = await problem.predict(rows, candidates);
		return rows.filter((n) => !problem.fooled(n, row(logits, n).data)).length / count;
	};
	return onReference(classifier, count, robust, seed);
}
