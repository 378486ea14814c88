/** @file FGSM and PGD against torchattacks and Foolbox: golden vectors from test/golden/attacks.py. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { openOnnxClassifier } from "../models/onnx-classifier.ts";
import { tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, attackSchema, createAttack, describeAttack } from "./schema.ts";

interface Golden {
	labels: string[];
	y: number[];
	pixels: string;
	dims: number[];
	runs: { library: string; spec: AttackSpecInput; x: string; smallest: string }[];
}

const golden = JSON.parse(readFileSync(new URL("../../test/golden/attacks.json", import.meta.url), "utf8")) as Golden;
const bytes = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));
const images = tensor(
	Float32Array.from(bytes(golden.pixels), (v) => v / 255),
	golden.dims,
);
const truth = tensor(Float32Array.from(golden.y.flatMap((y) => golden.labels.map((_, k) => (k === y ? 1 : 0)))), [
	golden.y.length,
	golden.labels.length,
]);
const ids = golden.y.map((_, n) => `${n}`);

const classifier = await openOnnxClassifier({
	model: new URL("../../test/golden/tiny-cnn.onnx", import.meta.url).pathname,
	labels: golden.labels,
	scores: { kind: "logits", output: "logits" },
	canvas: { height: 16, width: 16 },
	batch: 4,
});
afterAll(() => classifier.close());

/** Half-precision bits as a number (no denormals are needed below 1e-4 of a mean gradient: they count as zero). */
function half(bits: number): number {
	const exponent = (bits >> 10) & 31;
	return exponent === 0 ? 0 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
}

/** A gradient smaller than this share of its image's mean gradient may have either sign in float32. */
const UNDECIDED = 1e-3;

describe("parity with published attacks", () => {
	it.each(golden.runs.map((run) => [run.library, describeAttack(attackSchema.parse(run.spec)), run] as const))(
		"%s: %s",
		async (_, __, run) => {
			const attack = createAttack(run.spec);
			const { unrounded } = await runAttack(attack, classifier, { images, ids, truth, seed: 0 });
			const expected = new Float32Array(bytes(run.x).buffer);
			const smallest = Float32Array.from(new Uint16Array(bytes(run.smallest).buffer), half);
			let flips = 0;
			let worst = 0;
			unrounded.data.forEach((v, i) => {
				const error = Math.abs(v - expected[i]);
				if (attack.options.norm === "linf" && error > 1e-5 && smallest[i] < UNDECIDED) flips++;
				else worst = Math.max(worst, error);
			});
			expect(worst).toBeLessThan(1e-5);
			expect(flips / unrounded.data.length).toBeLessThan(0.002);
		},
	);
});
