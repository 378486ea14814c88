/** @file `kintsugi calibrate`: pictures whose labels follow hidden thresholds, which it must find from other pictures than those evaluated. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { row } from "../src/tensor/tensor.ts";
import { experiment, inProcess, LABELS, pictures, TINY_CNN, tinyLogits } from "./support/cli.ts";

const PICTURES = 40;
const EVALUATED = 15;
const folder = mkdtempSync(join(tmpdir(), "kintsugi-calibrate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
let images: string;
let hidden: number[];
/** Logits by file name. */
const logits = new Map<string, Float32Array>();

function annotate(file: string, names: readonly string[]): string {
	const annotations = names.flatMap((name, n) =>
		LABELS.flatMap((_, k) => ((logits.get(name)?.[k] ?? 0) > hidden[k] ? [{ image_id: n + 1, category_id: k + 1 }] : [])),
	);
	const coco = {
		images: names.map((file_name, n) => ({ id: n + 1, file_name, width: 16, height: 16 })),
		categories: LABELS.map((name, k) => ({ id: k + 1, name })),
		annotations: annotations.map((a, i) => ({ id: i + 1, ...a, bbox: [0, 0, 8, 8], area: 64, iscrowd: 0, segmentation: [] })),
	};
	writeFileSync(at(file), JSON.stringify(coco));
	return at(file);
}

beforeAll(async () => {
	images = await pictures(at("pictures"), PICTURES);
	const { names, logits: all } = await tinyLogits(images);
	names.forEach((name, n) => {
		logits.set(name, row(all, n).data);
	});
	// Each label is true of the upper half of the pictures, by its logit.
	hidden = LABELS.map((_, k) => {
		const sorted = names.map((name) => logits.get(name)?.[k] ?? 0).sort((a, b) => a - b);
		return (sorted[PICTURES / 2 - 1] + sorted[PICTURES / 2]) / 2;
	});
	annotate("all.json", names);
});

const describeExperiment = (file: string, over: object = {}) =>
	experiment(at(file), images, {
		attacks: [],
		purifiers: [],
		data: { coco: "all.json", images, count: EVALUATED, canvas: { size: 16 } },
		...over,
	});

describe("kintsugi calibrate", () => {
	it("finds thresholds that separate the labels, from the images that are not evaluated", async () => {
		const file = describeExperiment("half.yaml");
		const { code, stdout } = await inProcess("calibrate", file, "--json");
		expect(code).toBe(0);
		const result = JSON.parse(stdout);
		expect(result.file).toBe(at("tiny.thresholds.json"));
		expect(result.data).toMatchObject({ images: PICTURES - EVALUATED, skipped: 0 });
		const stored = JSON.parse(readFileSync(result.file, "utf8"));
		expect(stored.thresholds).toEqual(result.thresholds);
		expect(stored.quality.calibrated).toEqual({ CF1: 1, OF1: 1 });
		expect(stored.quality.before.OF1).toBeLessThan(0.9);
		expect(LABELS.map((label) => stored.labels[label].f1)).toEqual(LABELS.map(() => 1));
	});

	it("is taken up by the experiment, whose F1 it raises", async () => {
		const classifier = { kind: "onnx", model: TINY_CNN, labels: LABELS, scores: { kind: "logits", output: "logits" } };
		const f1 = async (more: object) => {
			const file = describeExperiment("run.yaml", { classifier: { ...classifier, ...more } });
			const { stdout } = await inProcess("run", file, "--out", at("run"), "--json");
			return JSON.parse(stdout).summary.clean.panel.overallF1.value;
		};
		expect(await f1({ thresholds: "tiny.thresholds.json" })).toBeGreaterThan((await f1({})) + 0.05);
	});

	it("does not use an evaluated image under another name", async () => {
		const file = describeExperiment("half.yaml");
		const copies = at("copies");
		mkdirSync(copies);
		const names = readdirSync(images).map((name) => {
			copyFileSync(join(images, name), join(copies, `copy-${name}`));
			logits.set(`copy-${name}`, logits.get(name) ?? new Float32Array(LABELS.length));
			return `copy-${name}`;
		});
		const coco = annotate("copies.json", names);
		const { stdout } = await inProcess("calibrate", file, "--json", "--coco", coco, "--images", copies, "--out", at("other.json"));
		expect(JSON.parse(stdout).data.images).toBe(PICTURES - EVALUATED);
	});

	it("gives rare labels the common threshold", async () => {
		const { stdout } = await inProcess(
			"calibrate",
			describeExperiment("half.yaml"),
			"--json",
			"--min-positives",
			"100",
			"--out",
			at("rare.json"),
		);
		expect(new Set(Object.values(JSON.parse(stdout).thresholds)).size).toBe(1);
	});

	it("says in one line what is wrong", async () => {
		const file = describeExperiment("half.yaml");
		const wrong = async (code: number, message: RegExp, ...args: string[]) => {
			const result = await inProcess(...args);
			expect(result.stderr).toMatch(message);
			expect(result.stderr.trim().split("\n")).toHaveLength(1);
			expect(result.code).toBe(code);
		};
		await wrong(2, /--coco and --images/, "calibrate", file, "--coco", at("all.json"));
		const whole = describeExperiment("whole.yaml", { data: { coco: "all.json", images, canvas: { size: 16 } } });
		await wrong(1, /all of them evaluated.*data.count/, "calibrate", whole);
		writeFileSync(at("few.json"), JSON.stringify({ thresholds: { zero: 1 } }));
		const classifier = { kind: "onnx", model: TINY_CNN, labels: LABELS, scores: { kind: "logits", output: "logits" } };
		const few = describeExperiment("few.yaml", { classifier: { ...classifier, thresholds: "few.json" } });
		await wrong(2, /none for one, two/, "run", few, "--out", at("few"));
		const lost = describeExperiment("lost.yaml", { classifier: { ...classifier, thresholds: "lost.json" } });
		await wrong(2, /lost.json.*no readable file/, "run", lost, "--out", at("lost"));
		writeFileSync(at("prompt.json"), JSON.stringify({ prompt: "a sketch of a {label}", thresholds: {} }));
		const clip = describeExperiment("clip.yaml", { classifier: { kind: "clip", model: "mini-clip", thresholds: "prompt.json" } });
		await wrong(2, /a sketch of a \{label\}.*calibrate again/, "run", clip, "--out", at("clip"));
	});
});
