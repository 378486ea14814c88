/**
 * @file What each option of inpainting costs and what it does to the image, on mini-inpaint: npm run bench:inpaint -- [OBJECTS] [THREADS] [--part options|batches]
 * [--only PATTERN]: besides the default, the options whose names match.
 * All options take turns on every image; times are those of the processor, which say what they mean with one thread.
 */
import { parseArgs } from "node:util";
import { resolveModel } from "../src/hub/resolve.ts";
import { wilson } from "../src/metrics/intervals.ts";
import { psnr, ssim } from "../src/metrics/similarity.ts";
import { type InpaintPipeline, openInpaintPipeline } from "../src/purifiers/pipelines/inpaint.ts";
import type { Purified } from "../src/purifiers/purifier.ts";
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
	/** Instead of the model's own autoencoder. */
	vae?: string | undefined;
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
	{ name: "vae: mini-taesd", options: {}, vae: "mini-taesd" },
	{ name: "vae: mini-taesd, ddim, 5 steps", options: { steps: 5 }, vae: "mini-taesd" },
];

/** Samples that the UNet computes for one image: with guidance two a step. */
function samplesOf(pipeline: InpaintPipeline, options: SegmentationGuidedOptions): number {
	const { steps = 20, strength = 1, scheduler = "ddim", guidance = 7.5 } = options;
	return pipeline.steps({ steps, strength, scheduler }) * (guidance > 1 ? 2 : 1);
}

/** What the processor spent, whatever else ran beside it; on an idle machine, with one thread, the time itself. */
function cpuSeconds(since: NodeJS.CpuUsage): number {
	const { user, system } = process.cpuUsage(since);
	return (user + system) / 1e6;
}

interface Result {
	images: Purified[];
	seconds: number[];
}

/** A pipeline for each autoencoder that an option names, or leaves out. */
type Pipelines = ReadonlyMap<string | undefined, InpaintPipeline>;

async function openPipelines(folder: string, threads: number, rows: readonly Option[]): Promise<Pipelines> {
	const pipelines = new Map<string | undefined, InpaintPipeline>();
	for (const vae of new Set(rows.map((row) => row.vae))) {
		const other = vae === undefined ? undefined : (await resolveModel(vae)).dir;
		pipelines.set(vae, await openInpaintPipeline(folder, { threads, vae: other }));
	}
	return pipelines;
}

const pipelineOf = (pipelines: Pipelines, { vae }: Option) => pipelines.get(vae) as InpaintPipeline;

async function paintAll(pipelines: Pipelines, rows: readonly Option[], objects: readonly PaintedObject[]): Promise<Map<Option, Result>> {
	const results = new Map<Option, Result>(rows.map((option) => [option, { images: [], seconds: [] }]));
	const paint = (object: PaintedObject, option: Option) => {
		const { options, seed = 1, prompt } = option;
		const regions = object.input.regions.map((region) => ({ ...region, prompt: prompt ?? region.prompt }));
		return segmentationGuided(pipelineOf(pipelines, option), options).purify([{ ...object.input, regions }], { seed });
	};
	// Graphs of every size of crop are opened before the clock runs.
	const crops = rows.some(({ options }) => options.cropResolution === "image");
	for (const object of crops ? objects : []) await paint(object, { name: "", options: { steps: 1, crop: 8, cropResolution: "image" } });
	for (const vae of pipelines.keys()) {
		for (const guidance of [1, 7.5]) await paint(objects[0], { name: "", options: { steps: 1, guidance }, vae });
	}
	for (const object of objects) {
		for (const [option, { images, seconds }] of results) {
			const start = process.cpuUsage();
			const [image] = await paint(object, option);
			seconds.push(cpuSeconds(start));
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

/** PSNR in the mask; 99 for equal images. */
const decibels = (a: Purified, b: Purified) => Math.min(99, psnr(inside(a), inside(b)));

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
				same ? "" : mean(images.map((image, i) => decibels(reference.images[i], image))).toFixed(1),
				same ? "" : mean(images.map(({ image }, i) => ssim(reference.images[i].image, image))).toFixed(3),
			]),
		);
	}
	return [
		"| option | UNet samples | CPU s an image (median) | times as fast | objects recognised | PSNR in the mask, dB | SSIM |",
		"|---|--:|--:|--:|---|--:|--:|",
		...rows,
	].join("\n");
}

const ROUNDS = 3;

/** Batches, across images and across the objects of one image; the medians of some rounds. */
async function batches(folder: string, threads: number): Promise<string> {
	const inputs = await chooseScenes(8, 3);
	const variants = [1, 4].flatMap((batch) => [false, true].map((independentRegions) => ({ batch, independentRegions })));
	const open = async ({ batch, independentRegions }: (typeof variants)[number]) =>
		segmentationGuided(await openInpaintPipeline(folder, { threads, batch }), { steps: 5, independentRegions });
	const purifiers = await Promise.all(variants.map(open));
	for (const purifier of purifiers) await purifier.purify(inputs.slice(0, 1), { seed: 0 });
	const seconds: number[][] = variants.map(() => []);
	const images: Purified[][] = [];
	for (let round = 0; round < ROUNDS; round++) {
		for (const [i, purifier] of purifiers.entries()) {
			const start = process.cpuUsage();
			images[i] = await purifier.purify(inputs, { seed: 1 });
			seconds[i].push(cpuSeconds(start));
		}
	}
	for (const purifier of purifiers) await purifier.close();
	const rows = variants.map(({ batch, independentRegions }, i) => {
		const differences = images[i].map((image, n) => decibels(images[0][n], image));
		const speed = [(median(seconds[i]) / inputs.length).toFixed(2), (median(seconds[0]) / median(seconds[i])).toFixed(2)];
		return tableRow([batch, independentRegions ? "yes" : "no", ...speed, i === 0 ? "" : mean(differences).toFixed(1)]);
	});
	const objects = inputs.reduce((n, { regions }) => n + regions.length, 0);
	return [
		`${inputs.length} scenes with ${objects} objects, 5 steps of ddim, median of ${ROUNDS} rounds:\n`,
		"| batch | independentRegions | CPU s an image | times as fast | PSNR in the masks, dB (99: equal) |",
		"|--:|---|--:|--:|--:|",
		...rows,
	].join("\n");
}

/** One object an image, option by option. */
async function options(folder: string, { threads, count, only }: { threads: number; count: number; only: string }): Promise<string> {
	const rows = OPTIONS.filter(({ name }, i) => i === 0 || new RegExp(only).test(name));
	const objects = await chooseObjects(count);
	const labels = objects.map(({ label }) => label);
	const judge = await openJudge(threads);
	const pipelines = await openPipelines(folder, threads, rows);
	const results = await paintAll(pipelines, rows, objects);
	const originals = await judge.recognises(
		objects.map(({ input }) => input.image),
		labels,
	);
	const text = await table(results, judge, labels, (option) => samplesOf(pipelineOf(pipelines, option), option.options));
	for (const pipeline of pipelines.values()) await pipeline.close();
	await judge.close();
	const { value, low, high } = wilson(originals.filter(Boolean).length, originals.length);
	const known = `${value?.toFixed(2)} [${low?.toFixed(2)}, ${high?.toFixed(2)}]`;
	return `${text}\n\nn = ${objects.length} objects, one a scene; originals recognised: ${known}.`;
}

async function main(): Promise<void> {
	const { positionals, values } = parseArgs({ allowPositionals: true, options: { part: { type: "string" }, only: { type: "string" } } });
	const [count = 48, threads = 1] = positionals.map(Number);
	const { dir } = await resolveModel("mini-inpaint");
	if (values.part !== "batches") process.stdout.write(`${await options(dir, { threads, count, only: values.only ?? "" })}\n\n`);
	if (values.part !== "options") process.stdout.write(`${await batches(dir, threads)}\n\n`);
	process.stdout.write(`${threads} threads of ${machine()}.\n`);
}

await main();
