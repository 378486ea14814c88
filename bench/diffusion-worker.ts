/**
 * @file This project's side of bench/diffusion.ts: the UNet of a checkpoint, driven by lines on stdin. "step" predicts and answers with
 * the seconds, "output FILE" writes the prediction, "peak" tells the largest resident memory in bytes.
 * Usage: node --import tsx bench/diffusion-worker.ts FOLDER THREADS
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openUNet2DCondition } from "../src/models/diffusers/denoiser.ts";
import { tensor } from "../src/tensor/tensor.ts";

const [folder, threads] = process.argv.slice(2);
const load = (file: string, dims: readonly number[]) =>
	tensor(new Float32Array(new Uint8Array(readFileSync(join(folder, file))).buffer), dims);
const sample = load("sample.bin", [1, 9, 64, 64]);
const states = load("states.bin", [1, 77, 1024]);
const answer = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function timed<T>(what: () => Promise<T>): Promise<{ seconds: number; result: T }> {
	const start = performance.now();
	const result = await what();
	return { seconds: (performance.now() - start) / 1000, result };
}

const step = async () => (await timed(() => unet.predict(sample, 500, states))).seconds;

const { seconds: read, result: unet } = await timed(() => openUNet2DCondition(join(folder, "unet"), { threads: Number(threads) }));
// The session is opened by the first step; the second tells how much of it was the step.
const first = await step();
answer({ open: read + first - (await step()) });
for await (const line of createInterface({ input: process.stdin })) {
	const [command, file] = line.trim().split(" ");
	if (command === "step") answer({ seconds: await step() });
	if (command === "peak") answer({ bytes: process.resourceUsage().maxRSS * 1024 });
	if (command === "output") {
		writeFileSync(file, (await unet.predict(sample, 500, states)).data);
		answer({ file });
	}
}
await unet.close();
