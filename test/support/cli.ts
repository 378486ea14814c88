/** @file Runs the command line as a user does, and a small world for it: noisy pictures and a real, tiny network. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import sharp from "sharp";
import { vi } from "vitest";
import { stringify } from "yaml";
import { main } from "../../src/cli/program.ts";
import { decodeImage } from "../../src/image/decode.ts";
import { fromRgb } from "../../src/image/rgb.ts";
import { openOnnxClassifier } from "../../src/models/onnx-classifier.ts";
import { random } from "../../src/tensor/random.ts";
import { stack, type Tensor } from "../../src/tensor/tensor.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
export const TINY_CNN = join(ROOT, "test/golden/tiny-cnn.onnx");
export const LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const SIDE = 16;

export interface CliResult {
	code: number | null;
	stdout: string;
	stderr: string;
}

/** Starts a command; one process, so that a signal reaches the program itself. */
export function start(
	args: readonly string[],
	{ cwd = ROOT, env = {} }: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): { child: ChildProcess; result: Promise<CliResult> } {
	const loader = join(ROOT, "node_modules/tsx/dist/loader.mjs");
	const child = spawn(process.execPath, ["--import", loader, join(ROOT, "src/cli/main.ts"), ...args], {
		cwd,
		env: { ...process.env, ...env },
		stdio: ["ignore", "pipe", "pipe"],
	});
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const result = new Promise<CliResult>((done) => {
		child.on("close", (code) => done({ code, stdout, stderr }));
	});
	return { child, result };
}

/** Runs a command in this process: faster, and the same but for signals. One at a time. */
export async function inProcess(...args: string[]): Promise<CliResult> {
	const said = { stdout: "", stderr: "" };
	const spies = (["stdout", "stderr"] as const).map((name) =>
		vi.spyOn(process[name], "write").mockImplementation((text) => {
			said[name] += String(text);
			return true;
		}),
	);
	try {
		return { code: await main(args), ...said };
	} finally {
		for (const spy of spies) spy.mockRestore();
	}
}

/** Runs a command as a process of its own. */
export const kintsugi = (...args: string[]): Promise<CliResult> => start(args).result;

/** Writes `count` noisy pictures of 16 x 16 pixels; returns their folder. */
export async function pictures(folder: string, count: number): Promise<string> {
	mkdirSync(folder, { recursive: true });
	for (let n = 0; n < count; n++) {
		const draw = random("picture", n);
		const colour = [draw.int(200), draw.int(200), draw.int(200)];
		const data = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => colour[i % 3] + draw.int(56));
		await sharp(data, { raw: { width: SIDE, height: SIDE, channels: 3 } })
			.png()
			.toFile(join(folder, `${String(n).padStart(2, "0")}.png`));
	}
	return folder;
}

/** What the tiny network says of each picture of a folder, in the order of their names. */
export async function tinyLogits(folder: string): Promise<{ names: string[]; logits: Tensor }> {
	const names = readdirSync(folder).sort();
	const classifier = await openOnnxClassifier({
		model: TINY_CNN,
		labels: LABELS,
		scores: { kind: "logits", output: "logits" },
		canvas: { height: 16, width: 16 },
	});
	const logits = await classifier.predict(
		stack(await Promise.all(names.map(async (name) => fromRgb(await decodeImage(join(folder, name)))))),
	);
	await classifier.close();
	return { names, logits };
}

/** Writes an experiment file about a folder of pictures and the tiny network. */
export function experiment(path: string, images: string, over: Record<string, unknown> = {}): string {
	const file = {
		name: "tiny",
		data: { images, canvas: { size: SIDE } },
		classifier: { kind: "onnx", model: TINY_CNN, labels: LABELS, scores: { kind: "logits", output: "logits" }, batch: 2 },
		attacks: [
			{ name: "fgsm", epsilon: 0.05 },
			{ name: "pgd", epsilon: 0.05, stepSize: 0.01, steps: 200, as: "pgd" },
		],
		purifiers: [{ name: "jpeg" }, { name: "blur", purify: ["clean", "pgd"] }],
		evaluation: { chunk: 2, bootstrap: 100, gallery: 1 },
		...over,
	};
	writeFileSync(path, stringify(file));
	return path;
}
