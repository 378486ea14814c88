/** @file CW, DeepFool, ART's FGSM and PGD, and PGD on the margin: golden vectors from test/golden/attacks_minimal.py. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { openOnnxClassifier } from "../models/onnx-classifier.ts";
import { tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, attackSchema, createAttack, describeAttack } from "./schema.ts";

interface Run {
	library: string;
	spec: AttackSpecInput;
	/** The adversarial images, and the pixels where rounding decides the sign of a step. */
	x: string;
	undecided: number[];
}

/** Of an attack that amplifies rounding errors over thousands of steps, only the distances. */
type LongRun = Pick<Run, "library" | "spec"> & { l2: number[] };

interface Golden {
	labels: string[];
	y: number[];
	pixels: string;
	dims: number[];
	runs: (Run | LongRun)[];
}

const golden = JSON.parse(readFileSync(new URL("../../test/golden/attacks_minimal.json", import.meta.url), "utf8")) as Golden;
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

const attacked = async (spec: AttackSpecInput) =>
	(await runAttack(createAttack(spec), classifier, { images, ids, truth, seed: 0 })).unrounded;
const named = <R extends { library: string; spec: AttackSpecInput }>(runs: R[]) =>
	runs.map((run) => [run.library, describeAttack(attackSchema.parse(run.spec)), run] as const);

describe("parity with published attacks", () => {
	it.each(named(golden.runs.filter((run) => "x" in run)))("%s: %s", async (_, __, { spec, x, undecided }) => {
		const expected = new Float32Array(bytes(x).buffer);
		const errors = (await attacked(spec)).data.map((v, i) => Math.abs(v - expected[i]));
		const free = new Set(undecided);
		const worst = errors.reduce((most, error, i) => (free.has(i) ? most : Math.max(most, error)), 0);
		expect(worst).toBeLessThan(1e-5);
		expect(free.size / errors.length).toBeLessThan(0.002);
	});

	it.each(named(golden.runs.filter((run) => "l2" in run)))("%s, by its distances: %s", async (_, __, { spec, l2 }) => {
		const { data } = await attacked(spec);
		const size = data.length / l2.length;
		const ours = l2.map((_, n) => Math.hypot(...data.subarray(n * size, (n + 1) * size).map((v, i) => v - images.data[n * size + i])));
		const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
		ours.forEach((length, n) => {
			expect(Math.abs(length - l2[n])).toBeLessThan(0.01 * l2[n]);
		});
		expect(Math.abs(mean(ours) / mean(l2) - 1)).toBeLessThan(0.003);
	});
});
