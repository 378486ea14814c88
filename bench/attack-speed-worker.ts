/**
 * @file This project's side of bench/attack-speed.ts: one attack a line on stdin ("pgd", "cw", "deepfool"), one line of JSON as the answer.
 * Usage: npx tsx bench/attack-speed-worker.ts FOLDER THREADS
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runAttack } from "../src/attacks/attack.ts";
import { argmax } from "../src/attacks/criteria.ts";
import { type AttackSpecInput, createAttack } from "../src/attacks/schema.ts";
import { oneHot } from "../src/attacks/targets.ts";
import { norm2 } from "../src/attacks/threat-model.ts";
import { openOnnxClassifier } from "../src/models/onnx-classifier.ts";
import { row, stack, tensor } from "../src/tensor/tensor.ts";

const [folder, threads] = process.argv.slice(2);
const LABELS = 80;
const preset = "torchattacks";
const ATTACKS: Record<string, AttackSpecInput> = {
	pgd: { name: "pgd", preset, steps: 40, start: "clean" },
	cw: { name: "cw", preset, steps: 100, c: 10, kappa: 20, learningRate: 0.001 },
	deepfool: { name: "deepfool", preset, candidates: 10 },
};

const classifier = await openOnnxClassifier({
	model: join(folder, "model.onnx"),
	labels: Array.from({ length: LABELS }, (_, k) => `label ${k}`),
	scores: { kind: "logits", output: "logits" },
	canvas: { height: 224, width: 224 },
	batch: 8,
	threads: Number(threads),
});
const pixels = new Float32Array(new Uint8Array(readFileSync(join(folder, "x.bin"))).buffer);
const images = tensor(
	pixels.map((v) => Math.round(v * 255) / 255),
	[8, 3, 224, 224],
);
const logits = await classifier.predict(images);
const ids = Array.from({ length: 8 }, (_, n) => `${n}`);
const truth = stack(ids.map((_, n) => tensor(oneHot(argmax(row(logits, n).data), LABELS), [LABELS])));

const answer = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
	const attack = createAttack(ATTACKS[line]);
	const start = performance.now();
	const { outcomes, unrounded } = await runAttack(attack, classifier, { images, ids, truth, seed: 0 });
	const seconds = (performance.now() - start) / 1000;
	const lengths = ids.map((_, n) => norm2(row(unrounded, n).data.map((v, i) => v - row(images, n).data[i])));
	answer({
		seconds,
		steps: Math.max(...outcomes.map((o) => o.gradientEvaluations)),
		beaten: outcomes.filter((o) => o.successBeforeRounding).length,
		l2: lengths.reduce((a, b) => a + b, 0) / lengths.length,
	});
}
