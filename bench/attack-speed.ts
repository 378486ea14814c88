/**
 * @file Attacks on CLIP ViT-B/32 of real size (random weights), batch 8, beside torchattacks on float32 PyTorch, and what an attack step
 * costs outside ONNX Runtime on mini-clip: npm run bench:attacks [-- pgd cw deepfool overhead] [--rounds 3] [--threads 2] [--python python3]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { InferenceSession } from "onnxruntime-node";
import { runAttack } from "../src/attacks/attack.ts";
import { createAttack } from "../src/attacks/schema.ts";
import { openCoco } from "../src/datasets/coco.ts";
import { multiHot } from "../src/datasets/targets.ts";
import { toCanvas } from "../src/image/canvas.ts";
import { decodeImage } from "../src/image/decode.ts";
import { openClip } from "../src/models/clip.ts";
import { stack, tensor } from "../src/tensor/tensor.ts";
import { machine, median, needPython, tableRow, worker } from "./side-by-side.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		rounds: { type: "string", default: "3" },
		threads: { type: "string", default: "2" },
		python: { type: "string", default: "python3" },
	},
});
const { threads, python } = values;
const ATTACKS: Record<string, string> = {
	pgd: "PGD, 40 steps, all of them on all images",
	cw: "CW, 100 steps of 0.001; c = 10, kappa = 20, so that neither stops early",
	deepfool: "DeepFool, up to 50 steps; 10 candidate labels here, all 80 in torchattacks",
};

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const print = (text: string) => process.stdout.write(`${text}\n`);
const note = (text: string) => process.stderr.write(`${text}\n`);

interface Run {
	seconds: number;
	/** Gradients of the image that took most, here; forward passes of the model in torchattacks. */
	steps: number;
	beaten: number;
	l2: number;
}

async function besideTorchattacks(names: readonly string[]): Promise<void> {
	needPython("bench:attacks", python, ["torch", "transformers", "onnxscript", "torchattacks"]);
	const folder = mkdtempSync(join(tmpdir(), "kintsugi-attacks-"));
	try {
		note("writing CLIP ViT-B/32 with random weights");
		const exported = spawnSync(python, [here("grad-torch.py"), "clip", folder, threads, "export"], {
			stdio: ["ignore", "ignore", "inherit"],
		});
		if (exported.status !== 0) throw new Error(`${python} could not export the model; install test/golden/requirements.txt`);
		const ours = worker(process.execPath, ["--import", "tsx", here("attack-speed-worker.ts"), folder, threads]);
		await ours.ask();
		const torch = worker(python, [here("attack-speed-torch.py"), folder, threads]);
		const { version } = await torch.ask<{ version: string }>();
		print(tableRow(["attack", "", "median s", "best s", "times ours", "steps", "beaten", "mean L2"]));
		print(tableRow(Array.from({ length: 8 }, () => "---")));
		for (const name of names) {
			const runs: Record<"ours" | "torch", Run[]> = { ours: [], torch: [] };
			// The first run of each opens its gradient graph.
			await ours.ask<Run>(name);
			for (let round = 0; round < Number(values.rounds); round++) {
				note(`${name}, round ${round + 1} of ${values.rounds}`);
				runs.ours.push(await ours.ask<Run>(name));
				runs.torch.push(await torch.ask<Run>(name));
			}
			const base = median(runs.ours.map((r) => r.seconds));
			const line = (what: string, all: readonly Run[]) => {
				const seconds = all.map((r) => r.seconds);
				const [{ beaten, l2, steps }] = all;
				const cells = [median(seconds).toFixed(2), Math.min(...seconds).toFixed(2), (median(seconds) / base).toFixed(2)];
				print(tableRow([ATTACKS[name], what, ...cells, steps, `${beaten} of 8`, l2.toFixed(3)]));
			};
			line("this project", runs.ours);
			line(`torchattacks ${version}`, runs.torch);
		}
		ours.close();
		torch.close();
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** Share of a PGD run on mini-clip that is not spent in ONNX Runtime's run(). */
async function overhead(): Promise<void> {
	const canvas = { height: 64, width: 64 };
	const root = (path: string) => here(`../${path}`);
	const classifier = await openClip({ folder: root("models/mini-clip"), canvas, threads: Number(threads) });
	const data = await openCoco({ images: root("data/scenes/val"), annotations: root("data/scenes/annotations/instances_val.json") });
	const samples = data.samples.slice(0, 64);
	const images = stack(await Promise.all(samples.map(async (s) => (await toCanvas(await decodeImage(s.path), canvas)).canvas)));
	const truth = stack(samples.map((s) => tensor(multiHot(s, classifier.labels), [classifier.labels.length])));
	const attack = createAttack({
		name: "pgd",
		epsilon: "8/255",
		stepSize: "2/255",
		steps: 40,
		labels: "all-true",
		loss: "set-cross-entropy",
	});
	const run = () => runAttack(attack, classifier, { images, truth, ids: samples.map((s) => s.id), seed: 0 });
	await run();
	let inside = 0;
	const sample = await InferenceSession.create(root("test/golden/tiny-cnn.onnx"));
	const prototype = Object.getPrototypeOf(sample) as InferenceSession;
	const measured = prototype.run;
	prototype.run = async function timed(this: InferenceSession, ...args: Parameters<InferenceSession["run"]>) {
		const start = performance.now();
		const result = await measured.apply(this, args);
		inside += performance.now() - start;
		return result;
	} as InferenceSession["run"];
	const shares: number[] = [];
	for (let round = 0; round < Number(values.rounds); round++) {
		inside = 0;
		const start = performance.now();
		await run();
		const total = performance.now() - start;
		shares.push((100 * (total - inside)) / total);
		note(`overhead, round ${round + 1}: ${total.toFixed(0)} ms, ${inside.toFixed(0)} of them in run()`);
	}
	prototype.run = measured;
	await classifier.close();
	print(`\nPGD, 40 steps, 64 images on mini-clip: ${median(shares).toFixed(1)} % of the time is spent outside ONNX Runtime's run().`);
}

const names = positionals.length > 0 ? positionals : [...Object.keys(ATTACKS), "overhead"];
const unknown = names.filter((name) => !(name in ATTACKS) && name !== "overhead");
if (unknown.length > 0) {
	note(`bench:attacks: unknown part ${unknown.join(", ")}; expected some of ${Object.keys(ATTACKS).join(", ")}, overhead`);
	process.exit(2);
}
print(`${machine()}, n = ${values.rounds} rounds, ${threads} threads\n`);
const compared = names.filter((name) => name in ATTACKS);
if (compared.length > 0) await besideTorchattacks(compared);
if (names.includes("overhead")) await overhead();
