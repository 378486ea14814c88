/**
 * @file One whole purification with a pipeline of real size, in a process of its own: opens the pipeline, repaints a quarter of a
 * 512 x 512 image twice and answers with the seconds of both (the first opens the sessions) and the largest resident memory.
 * Usage: node --import tsx bench/diffusion-purify.ts SPEC THREADS
 */
import { openPurifier } from "../src/purifiers/registry.ts";
import { random } from "../src/tensor/random.ts";
import { tensor } from "../src/tensor/tensor.ts";

const [spec, threads] = process.argv.slice(2);
const SIZE = 512;

const inputs = [
	{
		id: "image",
		image: tensor(random(1).uniforms(3 * SIZE * SIZE), [3, SIZE, SIZE]),
		regions: [{ label: "dog", score: 1, box: [128, 128, 256, 256] as const, prompt: "a photo of a dog" }],
	},
];
const purifier = await openPurifier(JSON.parse(spec), { session: { threads: Number(threads) } });
const seconds: number[] = [];
for (let run = 0; run < 2; run++) {
	const start = performance.now();
	await purifier.purify(inputs, { seed: run });
	seconds.push((performance.now() - start) / 1000);
}
await purifier.close();
process.stdout.write(`${JSON.stringify({ seconds, bytes: process.resourceUsage().maxRSS * 1024 })}\n`);
