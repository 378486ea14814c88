/**
 * @file Time and memory of building the gradient graph of models of gigabytes: `npm run bench:big [vit|unet|inside]`.
 * Each is measured in a process of its own, in which nothing but the command's own function runs. Fails above 20 s or 500 MB of
 * JavaScript memory.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GCProfiler, getHeapStatistics } from "node:v8";
import { writeGradientFile } from "../src/runtime/index.ts";
import { type VitSize, writeUnet, writeVit, writeVitInside } from "./synthetic-models.ts";

/** ViT-g/14 (width 1408, 6144 in the MLP), with layers up to the size wanted. */
const giant = (layers: number): VitSize => ({ layers, width: 1408, heads: 16, mlp: 6144 });

const MODELS = {
	vit: {
		what: "ViT-g/14 of 34 layers, external weights",
		wrt: ["pixel_values"],
		write: (path: string) => writeVit(path, giant(34)),
	},
	unet: {
		what: "UNet of Stable Diffusion 2 inpainting, external weights",
		wrt: ["sample", "encoder_hidden_states"],
		write: writeUnet,
	},
	inside: {
		what: "ViT-g/14 of 18 layers, weights inside the .onnx file",
		wrt: ["pixel_values"],
		write: (path: string) => writeVitInside(path, giant(18)),
	},
};

const ROUNDS = 3;
const MB = 1e6;
const TARGET = { seconds: 20, javascript: 500 * MB };

/** What a process that only builds one gradient reports. */
interface Measured {
	seconds: number;
	/** Largest JavaScript heap and array buffers, as seen before each garbage collection and after each stage. */
	javascript: number;
	/** Largest resident memory of the whole process, ONNX Runtime included, and what Node takes by itself. */
	resident: number;
	node: number;
	bytes: number;
	forward: number;
	backward: number;
}

async function measure(model: string, wrt: readonly string[]): Promise<Measured> {
	const profiler = new GCProfiler();
	const node = process.memoryUsage().rss;
	let javascript = 0;
	const sample = () => {
		const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
		javascript = Math.max(javascript, heap + external);
	};
	profiler.start();
	const started = performance.now();
	const { bytes, nodes } = await writeGradientFile(model, { wrt, onStage: sample });
	const seconds = (performance.now() - started) / 1000;
	sample();
	for (const { beforeGC } of profiler.stop().statistics) {
		const { usedHeapSize, externalMemory } = beforeGC.heapStatistics;
		javascript = Math.max(javascript, usedHeapSize + externalMemory);
	}
	return { seconds, javascript, resident: process.resourceUsage().maxRSS * 1024, node, bytes, ...nodes };
}

function report(name: keyof typeof MODELS): void {
	const folder = mkdtempSync(join(tmpdir(), "kintsugi-big-"));
	try {
		const path = join(folder, "model.onnx");
		const { what, wrt, write } = MODELS[name];
		const weights = write(path);
		console.log(`${name}: ${what}, ${(weights / 1e9).toFixed(2)} GB`);
		for (let round = 0; round < ROUNDS; round++) {
			const child = [...process.execArgv, import.meta.filename, "--measure", path, ...wrt];
			const { stdout, stderr, status } = spawnSync(process.execPath, child, { encoding: "utf8" });
			if (status !== 0) throw new Error(stderr);
			const m = JSON.parse(stdout) as Measured;
			const memory = `${Math.round(m.javascript / MB)} MB JavaScript, ${Math.round(m.resident / MB)} MB resident (Node alone ${Math.round(m.node / MB)})`;
			console.log(
				`  ${m.seconds.toFixed(1)} s, ${memory}; ${m.forward} nodes forward, ${m.backward} added, ${(m.bytes / MB).toFixed(2)} MB`,
			);
			if (m.seconds > TARGET.seconds || m.javascript > TARGET.javascript) process.exitCode = 1;
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const [first, path, ...wrt] = process.argv.slice(2);
if (first === "--measure") console.log(JSON.stringify(await measure(path, wrt)));
else for (const name of Object.keys(MODELS) as (keyof typeof MODELS)[]) if (!first || first === name) report(name);
