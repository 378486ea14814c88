/**
 * @file Time of segmentation-guided purification: npx tsx bench/inpaint.ts [MODEL] [IMAGES] [OBJECTS].
 * CPU time is what the machine spent, whatever else ran beside it.
 */
import { openPurifier } from "../src/purifiers/registry.ts";
import { random } from "../src/tensor/random.ts";
import { tensor } from "../src/tensor/tensor.ts";

const [model = "mini-inpaint", images = "8", objects = "4"] = process.argv.slice(2);
const SIZE = 64;
const STEPS = 20;

const inputs = Array.from({ length: Number(images) }, (_, i) => {
	const r = random(1, i);
	const region = () => ({
		label: "dog",
		score: 1,
		box: [r.int(40), r.int(40), 8 + r.int(16), 8 + r.int(16)] as const,
		prompt: "a photo of a dog",
	});
	return {
		id: `${i}`,
		image: tensor(r.uniforms(3 * SIZE * SIZE), [3, SIZE, SIZE]),
		regions: Array.from({ length: Number(objects) }, region),
	};
});

async function measure(threads: number, batch: number): Promise<void> {
	const purifier = await openPurifier({ name: "segmentation-guided", model, batch, steps: STEPS }, { session: { threads } });
	await purifier.purify(inputs.slice(0, 1), { seed: 0 });
	const [cpu, wall] = [process.cpuUsage(), performance.now()];
	await purifier.purify(inputs, { seed: 1 });
	const seconds = (performance.now() - wall) / 1000;
	const { user, system } = process.cpuUsage(cpu);
	await purifier.close();
	// With guidance every step of every object is two samples.
	const samples = inputs.length * Number(objects) * STEPS * 2;
	const perSample = `${((1000 * seconds) / samples).toFixed(1)} ms, ${((user + system) / 1000 / samples).toFixed(1)} ms CPU a sample`;
	process.stdout.write(`threads ${threads}, batch ${batch}: ${seconds.toFixed(1)} s, ${perSample}\n`);
}

async function main(): Promise<void> {
	for (const threads of [1, 2]) {
		for (const batch of [1, 2, 4, 8]) await measure(threads, batch);
	}
}

await main();
