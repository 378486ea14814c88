/**
 * @file What each option of inpainting costs and what it does to the image, on mini-inpaint: npm run bench:inpaint [OBJECTS] [THREADS].
 * All options take turns on every image, so that whatever else the machine does falls on all of them.
 */
import { parseArgs } from "node:util";
import { resolveModel } from "../src/hub/resolve.ts";
import { wilson } from "../src/metrics/intervals.ts";
import { psnr, ssim } from "../src/metrics/similarity.ts";
import { type InpaintPipeline, openInpaintPipeline } from "../src/purifiers/pipelines/inpaint.ts";
import type { Purified, PurifierInput } from "../src/purifiers/purifier.ts";
import { type SegmentationGuidedOptions, segmentationGuided } from "../src/purifiers/segmentation-guided.ts";
import { type Tensor, tensor } from "../src/tensor/tensor.ts";
import { chooseObjects, chooseScenes, type Judge, openJudge, type PaintedObject } from "./inpaint-objects.ts";
import { machine, median, tableRow } from "./side-by-side.ts";

interface Option {
	name: string;
	options: SegmentationGuidedOptions;
	seed?: number;
	/** Instead of the object's own. */
	prompt?: string;
}

const DEFAULT = "20 steps of ddim, guidance 7.5";
const steps = (scheduler: "ddim" | "dpm-solver" | "euler", counts: readonly number[]): Option[] =>
	counts.map((n) => ({ name: `${scheduler}, ${n} steps`, options: { scheduler, steps: n } }));

const OPTIONS: readonly Option[] = [
	{ name: DEFAULT, options: {} },
	{ name: "another seed", options: {}, seed: 2 },
	{ name: "empty prompt", options: {}, prompt: "" },
	...steps("ddim", [10, 5, 4]),
	...steps("dpm-solver", [20, 10, 5, 4]),
	...steps("euler", [20, 10, 5, 4]),
	{ name: "lcm, 4 steps (not distilled for it)", options: { scheduler: "lcm", steps: 4 } },
	{ name: "guidance 3", options: { guidance: 3 } },
	{ name: "guidance 1", options: { guidance: 1 } },
	{ name: "strength 0.5", options: { strength: 0.5 } },
	{ name: "crop 8", options: { crop: 8 } },
	{ name: "crop 8, image's own pixels", options: { crop: 8, cropResolution: "image" } },
	{
		name: "crop 8, image's own pixels, dpm-solver, 10 steps",
		options: { crop: 8, cropResolution: "image", scheduler: "dpm-solver", steps: 10 },
	},
];

/** Samples that the UNet computes for one image: with guidance two a step. */
function samplesOf(pipeline: InpaintPipeline, options: SegmentationGuidedOptions): number {
	const { steps = 20, strength = 1, scheduler = "ddim", guidance = 7.5 } = options;
	return pipeline.steps({ steps, strength, scheduler }) * (guidance > 1 ? 2 : 1);
}

interface Result {
	images: Purified[];
	seconds: number[];
}

async function paintAll(pipeline: InpaintPipeline, objects: readonly PaintedObject[]): Promise<Map<Option, Result>> {
	const results = new Map<Option, Result>(OPTIONS.map((option) => [option, { images: [], seconds: [] }]));
	const paint = (object: PaintedObject, { options, seed = 1, prompt }: Option) => {
		const regions = object.input.regions.map((region) => ({ ...region, prompt: prompt ?? region.prompt }));
		return segmentationGuided(pipeline, options).purify([{ ...object.input, regions }], { seed });
	};
	// Graphs of every size of crop are opened before the clock runs.
	for (const object of objects) await paint(object, { name: "", options: { steps: 1, crop: 8, cropResolution: "image" } });
	await paint(objects[0], { name: "", options: { steps: 1, guidance: 1 } });
	for (const object of objects) {
		for (const [option, { images, seconds }] of results) {
			const start = performance.now();
			const [image] = await paint(object, option);
			seconds.push((performance.now() - start) / 1000);
			images.push(image);
		}
	}
	return results;
}

/** The values of all channels where the mask is set. */
function inside({ image, mask }: Purified): Tensor {
	const values = image.data.filter((_, i) => mask.data[i % mask.data.length] > 0);
	return tensor(values, [values.length]);
}

const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;

async function table(results: ReadonlyMap<Option, Result>, judge: Judge, labels: readonly string[], samples: (option: Option) => number) {
	const reference = results.get(OPTIONS[0]) as Result;
	const rows: string[] = [];
	for (const [option, { images, seconds }] of results) {
		const known = await judge.recognises(
			images.map(({ image }) => image),
			labels,
		);
		const { value, low, high } = wilson(known.filter(Boolean).length, known.length);
		const same = option === OPTIONS[0];
		rows.push(
			tableRow([
				option.name,
				samples(option),
				median(seconds).toFixed(3),
				(median(reference.seconds) / median(seconds)).toFixed(2),
				`${value?.toFixed(2)} [${low?.toFixed(2)}, ${high?.toFixed(2)}]`,
				same ? "" : mean(images.map((image, i) => psnr(inside(reference.images[i]), inside(image)))).toFixed(1),
				same ? "" : mean(images.map(({ image }, i) => ssim(reference.images[i].image, image))).toFixed(3),
			]),
		);
	}
	return [
		"| option | UNet samples | s an image (median) | times as fast | objects recognised | PSNR in the mask, dB | SSIM |",
		"|---|--:|--:|--:|---|--:|--:|",
		...rows,
	].join("\n");
}

/** Batches, across images and across the objects of one image. */
async function batches(folder: string, threads: number, inputs: readonly PurifierInput[]): Promise<string> {
	const variants = [1, 4].flatMap((batch) => [false, true].map((independentRegions) => ({ batch, independentRegions })));
	const results: { seconds: number; images: Purified[] }[] = [];
	for (const { batch, independentRegions } of variants) {
		const purifier = segmentationGuided(await openInpaintPipeline(folder, { threads, batch }), { steps: 5, independentRegions });
		await purifier.purify(inputs.slice(0, 1), { seed: 0 });
		const start = performance.now();
		const images = await purifier.purify(inputs, { seed: 1 });
		results.push({ seconds: (performance.now() - start) / 1000, images });
		await purifier.close();
	}
	const rows = results.map(({ seconds, images }, i) =>
		tableRow([
			variants[i].batch,
			variants[i].independentRegions ? "yes" : "no",
			(seconds / inputs.length).toFixed(3),
			(results[0].seconds / seconds).toFixed(2),
			i === 0 ? "" : mean(images.map((image, n) => Math.min(99, psnr(inside(results[0].images[n]), inside(image))))).toFixed(1),
		]),
	);
	const objects = inputs.reduce((n, { regions }) => n + regions.length, 0);
	return [
		`${inputs.length} scenes with ${objects} objects, 5 steps of ddim:\n`,
		"| batch | independentRegions | s an image | times as fast | PSNR in the masks, dB (99: equal) |",
		"|--:|---|--:|--:|--:|",
		...rows,
	].join("\n");
}

async function main(): Promise<void> {
	const { positionals } = parseArgs({ allowPositionals: true });
	const [count = 96, threads = 2] = positionals.map(Number);
	const objects = await chooseObjects(count);
	const labels = objects.map(({ label }) => label);
	const judge = await openJudge(threads);
	const { dir } = await resolveModel("mini-inpaint");
	const pipeline = await openInpaintPipeline(dir, { threads });
	const results = await paintAll(pipeline, objects);
	const originals = await judge.recognises(
		objects.map(({ input }) => input.image),
		labels,
	);
	const text = await table(results, judge, labels, ({ options }) => samplesOf(pipeline, options));
	const before = wilson(originals.filter(Boolean).length, originals.length);
	await pipeline.close();
	await judge.close();
	process.stdout.write(`${text}\n\nn = ${objects.length} objects, one a scene; ${threads} threads of ${machine()}. `);
	process.stdout.write(`Originals recognised: ${before.value?.toFixed(2)} [${before.low?.toFixed(2)}, ${before.high?.toFixed(2)}].\n\n`);
	process.stdout.write(`${await batches(dir, threads, await chooseScenes(Math.min(12, count), 3))}\n`);
}

await main();
