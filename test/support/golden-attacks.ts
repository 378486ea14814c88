/** @file The tiny network, images and labels of the golden vectors in test/golden/attacks*.json, opened as the attacks see them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { AttackInput } from "../../src/attacks/input.ts";
import { type AttackSpecInput, attackSchema, describeAttack } from "../../src/attacks/schema.ts";
import type { Classifier } from "../../src/models/classifier.ts";
import { openOnnxClassifier } from "../../src/models/onnx-classifier.ts";
import { tensor } from "../../src/tensor/tensor.ts";

export interface GoldenAttacks {
	labels: string[];
	y: number[];
	/** Base64 of 8-bit pixels. */
	pixels: string;
	dims: number[];
}

const golden = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));

export const bytes = (base64: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(base64, "base64"));
export const floats = (base64: string): Float32Array => new Float32Array(bytes(base64).buffer);

/** The parsed file, its images with their true labels as an attack's input, and the network; the caller closes it. */
export async function openGolden<G extends GoldenAttacks>(
	name: string,
): Promise<{ golden: G; input: Required<Pick<AttackInput, "images" | "truth" | "ids" | "seed">>; classifier: Classifier }> {
	const file = JSON.parse(readFileSync(golden(name), "utf8")) as G;
	const { labels, y, pixels, dims } = file;
	const hot = y.flatMap((label) => labels.map((_, k) => Number(k === label)));
	const classifier = await openOnnxClassifier({
		model: golden("tiny-cnn.onnx"),
		labels,
		scores: { kind: "logits", output: "logits" },
		canvas: { height: 16, width: 16 },
		batch: 4,
	});
	return {
		golden: file,
		input: {
			images: tensor(
				Float32Array.from(bytes(pixels), (v) => v / 255),
				dims,
			),
			truth: tensor(Float32Array.from(hot), [y.length, labels.length]),
			ids: y.map((_, n) => `${n}`),
			seed: 0,
		},
		classifier,
	};
}

/** Rows for `it.each`: library, all options, run. */
export const named = <R extends { library: string; spec: AttackSpecInput }>(runs: readonly R[]) =>
	runs.map((run) => [run.library, describeAttack(attackSchema.parse(run.spec)), run] as const);
