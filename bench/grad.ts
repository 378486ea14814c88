/**
 * @file Input gradients at real size, beside PyTorch: npm run bench:grad [-- clip resnet unet] [--rounds 7] [--threads 2] [--python python3]
 * Needs PyTorch, transformers, diffusers and onnxscript (test/golden/requirements.txt). Both sides are processes of their own that take
 * turns within one run; the models are written to a temporary folder (3.5 GB for the UNet) and deleted at the end.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { agreement, machine, median, needPython, tableRow, worker } from "./side-by-side.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		rounds: { type: "string", default: "7" },
		threads: { type: "string", default: "2" },
		python: { type: "string", default: "python3" },
	},
});
const { threads, python } = values;
const CASES: Record<string, string> = {
	clip: "CLIP ViT-B/32, batch 8, loss and input gradient",
	resnet: "ResNet-50, batch 8, loss and input gradient",
	unet: "SD2 UNet, 64 x 64 latents, vector-Jacobian product",
};

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const print = (text: string) => process.stdout.write(`${text}\n`);
const note = (text: string) => process.stderr.write(`${text}\n`);

const row = (...cells: (string | number)[]) => print(tableRow(cells));

interface Step {
	seconds: number;
}

async function compare(name: string): Promise<void> {
	const folder = mkdtempSync(join(tmpdir(), `kintsugi-${name}-`));
	try {
		note(`${CASES[name]}: writing the model with random weights`);
		const torchArgs = [here("grad-torch.py"), name, folder, threads];
		const exported = spawnSync(python, [...torchArgs, "export"], { stdio: ["ignore", "ignore", "inherit"] });
		if (exported.status !== 0) throw new Error(`${python} could not export the model; install test/golden/requirements.txt`);
		note("opening");
		const ours = worker(process.execPath, ["--import", "tsx", here("grad-worker.ts"), name, folder, threads]);
		const { flops, nodes } = await ours.ask<{ flops: number; nodes: number }>();
		const torch = worker(python, torchArgs);
		const { version } = await torch.ask<{ version: string }>();
		// The first step of each is its warm-up.
		await ours.ask(`gradient ${join(folder, "ours.bin")}`);
		await torch.ask(`gradient ${join(folder, "torch.bin")}`);
		const times: Record<"ours" | "float32" | "bfloat16", number[]> = { ours: [], float32: [], bfloat16: [] };
		let peaks = { ours: 0, torch: 0 };
		for (let round = 0; round < Number(values.rounds); round++) {
			note(`round ${round + 1} of ${values.rounds}`);
			times.ours.push((await ours.ask<Step>("step")).seconds);
			times.float32.push((await torch.ask<Step>("step float32")).seconds);
		}
		peaks = {
			ours: (await ours.ask<{ megabytes: number }>("peak")).megabytes,
			torch: (await torch.ask<{ megabytes: number }>("peak")).megabytes,
		};
		await torch.ask("step bfloat16");
		for (let round = 0; round < Number(values.rounds); round++) times.bfloat16.push((await torch.ask<Step>("step bfloat16")).seconds);
		const products = {
			ours: (await ours.ask<{ gflops: number }>("matmul")).gflops,
			torch: (await torch.ask<{ gflops: number }>("matmul")).gflops,
		};
		// Random weights put many activations beside a kink: only double precision says which float32 gradient is the better one.
		const exact = name !== "unet";
		if (exact) {
			note("gradient in double precision");
			await torch.ask(`gradient64 ${join(folder, "float64.bin")}`);
		}
		torch.close();
		note("profiling");
		const { milliseconds } = await ours.ask<{ milliseconds: Record<string, number> }>("profile");
		ours.close();
		const compared = (a: string, b: string) => {
			const { relative, cosine } = agreement(join(folder, `${a}.bin`), join(folder, `${b}.bin`));
			return `${relative.toExponential(1)} of the largest entry (1 - cosine ${(1 - cosine).toExponential(1)})`;
		};

		const images = name === "unet" ? 1 : 8;
		const line = (what: string, seconds: readonly number[], peak: number | undefined, product: number | undefined) => {
			const rate = flops / median(seconds) / 1e9;
			const share = product === undefined ? "" : `${((100 * rate) / product).toFixed(0)} % of ${product.toFixed(0)}`;
			const ratio = `${(median(seconds) / median(times.ours)).toFixed(2)}`;
			const cells = [median(seconds).toFixed(3), Math.min(...seconds).toFixed(3), (images / median(seconds)).toFixed(1), ratio];
			row(what, ...cells, rate.toFixed(0), share, peak === undefined ? "" : peak.toFixed(0));
		};
		print(`\n### ${CASES[name]}\n`);
		print(`${(flops / 1e9).toFixed(0)} GFLOP in products, ${nodes} nodes; n = ${values.rounds} rounds, ${threads} threads.\n`);
		row("", "median s", "best s", "images/s", "times ours", "GFLOP/s", "of a plain MatMul", "peak MB");
		row(..."--------".split("").map(() => "---"));
		line("this project, float32", times.ours, peaks.ours, products.ours);
		line(`PyTorch ${version}, float32`, times.float32, peaks.torch, products.torch);
		line(`PyTorch ${version}, bfloat16 autocast`, times.bfloat16, undefined, undefined);
		print(`\nGradients, largest difference: this project and PyTorch ${compared("ours", "torch")}.`);
		if (exact) {
			print(`Against PyTorch in float64: this project ${compared("ours", "float64")}; PyTorch float32 ${compared("torch", "float64")}.`);
		}
		print("");
		const total = Object.values(milliseconds).reduce((a, b) => a + b, 0);
		const parts = Object.entries(milliseconds).sort((a, b) => b[1] - a[1]);
		const percent = (ms: number) => `${((100 * ms) / total).toFixed(1)} %`;
		print(
			`Where the time goes: ${parts
				.slice(0, 10)
				.map(([op, ms]) => `${op} ${percent(ms)}`)
				.join(", ")}.`,
		);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const names = positionals.length > 0 ? positionals : Object.keys(CASES);
const unknown = names.filter((name) => !(name in CASES));
if (unknown.length > 0) {
	note(`bench:grad: unknown case ${unknown.join(", ")}; expected some of ${Object.keys(CASES).join(", ")}`);
	process.exit(2);
}
needPython("bench:grad", python, ["torch", "transformers", "diffusers", "onnxscript"]);
print(machine());
for (const name of names) await compare(name);
