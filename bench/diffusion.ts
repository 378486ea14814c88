/**
 * @file Stable Diffusion 2 inpainting at 512 x 512, real size, random weights: one step of the UNet beside diffusers, and whole
 * purifications: npm run bench:diffusion [-- step purify] [--rounds 5] [--threads 2] [--python python3] [--folder DIR]
 * The checkpoints take 10 GB of the temporary folder; --folder keeps them. Both sides of "step" are processes that take turns.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { random } from "../src/tensor/random.ts";
import { writeCheckpoint, writeTinyAutoencoder } from "./diffusion-checkpoint.ts";
import { agreement, machine, median, needPython, tableRow, type Worker, worker } from "./side-by-side.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		rounds: { type: "string", default: "5" },
		threads: { type: "string", default: "2" },
		python: { type: "string", default: "python3" },
		folder: { type: "string" },
	},
});
const { threads, python } = values;
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const print = (text: string) => process.stdout.write(`${text}\n`);
const note = (text: string) => process.stderr.write(`${text}\n`);
const heading = (...cells: string[]) => {
	print(tableRow(cells));
	print(tableRow(cells.map(() => "---")));
};

const WRITERS = {
	"sd2-inpainting": (folder: string) => writeCheckpoint(folder, 9),
	"sd-turbo": (folder: string) => writeCheckpoint(folder, 4),
	taesd: writeTinyAutoencoder,
};

/** Writes a checkpoint unless an earlier run has; gives its folder. */
function checkpoint(root: string, name: keyof typeof WRITERS): string {
	const folder = join(root, name);
	if (existsSync(join(folder, "complete"))) return folder;
	note(`writing ${name}`);
	WRITERS[name](folder);
	writeFileSync(join(folder, "complete"), "yes\n");
	return folder;
}

async function steps(root: string): Promise<void> {
	needPython("bench:diffusion", python, ["torch", "diffusers"]);
	const folder = checkpoint(root, "sd2-inpainting");
	const r = random("bench", "diffusion");
	writeFileSync(join(folder, "sample.bin"), r.normals(9 * 64 * 64));
	writeFileSync(join(folder, "states.bin"), r.normals(77 * 1024));
	note("opening");
	const torch = (dtype: string) => worker(python, [here("diffusion-torch.py"), folder, threads, dtype]);
	const starts: Record<string, () => Worker> = {
		"this project": () => worker(process.execPath, ["--import", "tsx", here("diffusion-worker.ts"), folder, threads]),
		"diffusers, float32": () => torch("float32"),
		"diffusers, bfloat16": () => torch("bfloat16"),
	};
	const sides: Record<string, Worker> = {};
	const opened: Record<string, { open: number; torch?: string; diffusers?: string }> = {};
	for (const [name, start] of Object.entries(starts)) {
		sides[name] = start();
		opened[name] = await sides[name].ask();
	}
	const times: Record<string, number[]> = {};
	for (let round = 0; round < Number(values.rounds); round++) {
		note(`round ${round + 1} of ${values.rounds}`);
		for (const [name, side] of Object.entries(sides)) {
			times[name] = [...(times[name] ?? []), (await side.ask<{ seconds: number }>("step")).seconds];
		}
	}
	const weights = statSync(join(folder, "unet/diffusion_pytorch_model.safetensors")).size;
	const base = median(times["this project"]);
	const versions = opened["diffusers, float32"];
	print(`\nUNet of Stable Diffusion 2 inpainting, 64 x 64 latents, batch 1, ${threads} threads, n = ${values.rounds}; ${machine()};`);
	print(`PyTorch ${versions.torch}, diffusers ${versions.diffusers}\n`);
	heading("", "median s", "best s", "times ours", "peak memory, GB", "of the float32 weights", "opened in s");
	for (const [name, side] of Object.entries(sides)) {
		const { bytes } = await side.ask<{ bytes: number }>("peak");
		const middle = median(times[name]);
		const cells = [middle.toFixed(2), Math.min(...times[name]).toFixed(2), (middle / base).toFixed(2)];
		print(tableRow([name, ...cells, (bytes / 1e9).toFixed(2), (bytes / weights).toFixed(2), opened[name].open.toFixed(1)]));
	}
	const outputs = Object.keys(sides).map((name) => join(folder, `${name.replaceAll(/\W+/g, "-")}.bin`));
	for (const [i, side] of Object.values(sides).entries()) await side.ask(`output ${outputs[i]}`);
	for (const side of Object.values(sides)) side.close();
	const far = (file: string) => agreement(file, outputs[1]).relative.toExponential(1);
	print(`\nFarthest from diffusers in float32, of the largest entry: this project ${far(outputs[0])}, bfloat16 ${far(outputs[2])}.`);
}

const LCM = { scheduler: "lcm", steps: 4, guidance: 1 };

/** What each reduction saves beside the paper's settings; `model` and `vae` name checkpoints. */
const PURIFICATIONS: { what: string; model?: keyof typeof WRITERS; vae?: keyof typeof WRITERS; options: object }[] = [
	{ what: "20 steps, guidance 7.5 (the paper)", options: { steps: 20, guidance: 7.5 } },
	{ what: "the same, crop 32, in the image's own pixels", options: { steps: 20, guidance: 7.5, crop: 32, cropResolution: "image" } },
	{ what: "20 steps, no guidance", options: { steps: 20, guidance: 1 } },
	{ what: "LCM, 4 steps, no guidance", options: LCM },
	{ what: "the same with TAESD", vae: "taesd", options: LCM },
	{ what: "sd-turbo, 1 step, no guidance", model: "sd-turbo", options: { scheduler: "euler", steps: 1, guidance: 0 } },
];

function purifications(root: string): void {
	print(`\nOne whole purification of a 512 x 512 image, a quarter of it masked: ${threads} threads, n = 1; ${machine()}\n`);
	heading("", "s", "times as fast", "the first, with opening, s", "peak memory, GB");
	let first = 0;
	for (const { what, model = "sd2-inpainting", vae, options } of PURIFICATIONS) {
		const folder = checkpoint(root, model);
		const autoencoder = vae === undefined ? {} : { vae: checkpoint(root, vae) };
		note(what);
		const spec = JSON.stringify({ name: "segmentation-guided", model: folder, ...autoencoder, ...options });
		const child = spawnSync(process.execPath, ["--import", "tsx", here("diffusion-purify.ts"), spec, threads], { encoding: "utf8" });
		if (child.status !== 0) throw new Error(child.stderr);
		const { seconds, bytes } = JSON.parse(child.stdout) as { seconds: [number, number]; bytes: number };
		first ||= seconds[1];
		print(tableRow([what, seconds[1].toFixed(1), (first / seconds[1]).toFixed(1), seconds[0].toFixed(1), (bytes / 1e9).toFixed(2)]));
	}
}

const root = values.folder ?? mkdtempSync(join(tmpdir(), "kintsugi-diffusion-"));
mkdirSync(root, { recursive: true });
try {
	const wanted = (name: string) => positionals.length === 0 || positionals.includes(name);
	if (wanted("step")) await steps(root);
	if (wanted("purify")) purifications(root);
} finally {
	if (!values.folder) rmSync(root, { recursive: true, force: true });
}
