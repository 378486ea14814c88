/** @file `kintsugi transfer` on small networks: one twice with its outputs in another order, so that labels must be matched by name. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { graphBuilder } from "../src/onnx/index.ts";
import { readModelFile, writeModelFile } from "../src/runtime/index.ts";
import { row } from "../src/tensor/tensor.ts";
import { experiment, inProcess, LABELS, pictures, TINY_CNN, tinyLogits } from "./support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "kintsugi-transfer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const logits = { kind: "logits", output: "logits" };
let images: string;

/** The tiny network with its outputs turned round, under the labels turned round, with one more label that is never seen. */
function writeTurned(path: string): string[] {
	const network = readModelFile(TINY_CNN);
	const g = graphBuilder({ extend: { ...network, outputs: [] }, prefix: "turned/" });
	const turned = g.op("Gather", ["logits", g.ints(LABELS.map((_, k) => LABELS.length - 1 - k))], { axis: 1 });
	const padded = g.op("Concat", [turned, g.op("Sub", [g.op("ReduceMin", [turned], { axes: [1], keepdims: 1 }), g.scalar(1)])], { axis: 1 });
	g.output(padded, "float", ["batch", LABELS.length + 1]);
	const built = g.build();
	const end = { op: "Identity", domain: "", name: "end", inputs: [padded], outputs: ["scores"], attributes: {} };
	const graph = { ...built, nodes: [...built.nodes, end], outputs: [{ name: "scores", type: "float" as const, dims: ["batch", 11] }] };
	writeModelFile(graph, path, { inline: true });
	return [...LABELS].reverse().concat("never seen");
}

beforeAll(async () => {
	images = await pictures(at("pictures"), 12);
	const { names, logits: all } = await tinyLogits(images);
	const coco = {
		images: names.map((file_name, n) => ({ id: n + 1, file_name, width: 16, height: 16 })),
		categories: LABELS.map((name, k) => ({ id: k + 1, name })),
		annotations: names.map((_, n) => {
			const scores = row(all, n).data;
			return {
				id: n + 1,
				image_id: n + 1,
				category_id: scores.indexOf(Math.max(...scores)) + 1,
				bbox: [0, 0, 8, 8],
				area: 64,
				iscrowd: 0,
				segmentation: [],
			};
		}),
	};
	writeFileSync(at("top.json"), JSON.stringify(coco));
});

function file(name: string, over: object = {}): string {
	const labels = writeTurned(at("turned.onnx"));
	return experiment(at(name), images, {
		name: "tiny-transfer",
		data: { coco: "top.json", images, canvas: { size: 16 } },
		attacks: [
			{ name: "mi-fgsm", as: "mi", epsilon: 0.015 },
			{ name: "pgd", as: "wanted", epsilon: 0.03, stepSize: 0.005, target: "random", steps: 10 },
		],
		purifiers: [],
		transfer: [
			{ as: "turned", kind: "onnx", model: "turned.onnx", labels, scores: { kind: "logits", output: "scores" } },
			{ as: "dim", kind: "onnx", model: TINY_CNN, labels: LABELS, scores: logits, preprocessing: { channels: "bgr", scale: 0.6 } },
			{ as: "lost", optional: true, kind: "onnx", model: "nowhere.onnx", labels: LABELS, scores: logits },
		],
		evaluation: { chunk: 4, bootstrap: 200 },
		...over,
	});
}

describe("kintsugi transfer", () => {
	it("matches labels by name: a network with its outputs in another order judges and is attacked alike", async () => {
		const { code, stdout } = await inProcess("transfer", file("matrix.yaml"), "--out", at("run"), "--json");
		expect(code).toBe(0);
		const { summary } = JSON.parse(stdout);
		expect(summary.labels).toEqual(LABELS);
		expect(summary.classifiers.map((c: { name: string; labels: number }) => [c.name, c.labels])).toEqual([
			["tiny-cnn", 10],
			["turned", 11],
			["dim", 10],
		]);
		expect(summary.cells).toHaveLength(2 * 9);
		const cell = (attack: string, source: string, judge: string) =>
			summary.cells.find((c: Record<string, string>) => c.attack === attack && c.source === source && c.judge === judge);
		for (const attack of ["mi", "wanted"]) {
			const own = cell(attack, "tiny-cnn", "tiny-cnn").success;
			expect(own.value).toBeGreaterThan(0.2);
			expect(cell(attack, "tiny-cnn", "turned").success).toEqual(own);
		}
		// Untargeted attacks move away from the same label, whatever its place.
		expect(cell("mi", "turned", "tiny-cnn").success).toEqual(cell("mi", "tiny-cnn", "tiny-cnn").success);
		expect(cell("mi", "dim", "tiny-cnn").success.value).toBeLessThan(cell("mi", "dim", "dim").success.value - 0.5);
		expect(cell("mi", "tiny-cnn", "dim").success.n).toBe(Math.round(12 * summary.classifiers[2].precisionAt1.value));
		expect(summary.warnings.join()).toMatch(/lost is left out: .*nowhere/);
	});

	it("writes the matrix as a page, as Markdown and as JSON, the same again from what is stored", async () => {
		const numbers = () => ["transfer.json", "transfer.md"].map((name) => readFileSync(join(at("run"), name), "utf8"));
		const before = numbers();
		const artifacts = () => readdirSync(join(at("run"), "artifacts"), { recursive: true }).length;
		const stored = artifacts();
		await inProcess("transfer", file("matrix.yaml"), "--out", at("run"), "--quiet");
		expect(numbers()).toEqual(before);
		expect(artifacts()).toBe(stored);
		const [, markdown] = before;
		const html = readFileSync(join(at("run"), "transfer.html"), "utf8");
		expect(markdown.match(/^\| tiny-cnn \|/gm)).toHaveLength(1 + 2 * 2);
		expect(markdown).toMatch(/\[\d\.\d\d, \d\.\d\d\], n = 12 \|/);
		expect(html.match(/<svg role="img"/g)).toHaveLength(2);
		expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
	});

	it("goes on where it was stopped", async () => {
		const whole = readFileSync(join(at("run"), "transfer.json"), "utf8");
		const artifacts = join(at("run"), "artifacts");
		readdirSync(artifacts).forEach((name, i) => {
			if (i % 2 === 0) rmSync(join(artifacts, name), { recursive: true });
		});
		await inProcess("transfer", file("matrix.yaml"), "--out", at("run"), "--quiet");
		expect(readFileSync(join(at("run"), "transfer.json"), "utf8")).toBe(whole);
	});

	it("says in one line what is missing", async () => {
		const wrong = async (code: number, message: RegExp, name: string, over: object) => {
			mkdirSync(at("wrong"), { recursive: true });
			const result = await inProcess("transfer", file(name, over), "--out", at("wrong"));
			expect(result.stderr).toMatch(message);
			expect(result.stderr.trim().split("\n")).toHaveLength(1);
			expect(result.code).toBe(code);
		};
		const other = { as: "other", kind: "onnx", model: TINY_CNN, labels: LABELS.map((label) => `${label}!`), scores: logits };
		await wrong(2, /transfer: expected a classifier to attack, another one/, "alone.yaml", { transfer: [] });
		await wrong(2, /without data.coco/, "blind.yaml", { data: { images, canvas: { size: 16 } } });
		await wrong(2, /at least two labels.*found none/, "strangers.yaml", { transfer: [other] });
		await wrong(2, /"tiny-cnn" twice/, "twins.yaml", { transfer: [{ ...other, as: "tiny-cnn" }] });
		await wrong(1, /nowhere/, "lost.yaml", { transfer: [{ ...other, model: "nowhere.onnx" }] });
	});
});
