/** @file Named images for the commands `attack` and `purify`: which models look at them, how they are read, where results go. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import type { Command } from "commander";
import { stringify } from "yaml";
import type { Sample } from "../datasets/dataset.ts";
import { openImageFiles } from "../datasets/image-folder.ts";
import { KintsugiError } from "../errors.ts";
import { type Experiment, loadExperiment, parseExperiment } from "../experiments/load.ts";
import { canvasOptions } from "../experiments/open.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import type { Classifier } from "../models/classifier.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { commaList, positiveNumber, wholeNumber } from "./options.ts";
import { type Globals, INCOMPLETE, progressPrinter, untilInterrupted } from "./terminal.ts";

/** Images computed together. */
const BATCH = 8;

export interface ImageFlags extends Globals {
	out: string;
	seed: number;
	experiment?: string;
	classifier: string;
	labels?: string[];
	detector: string;
	canvas: number;
	policy: string;
	maxMegapixels: number;
	threads: number;
}

/** The options about images and models. */
export const withImageOptions = (command: Command, out: string): Command =>
	command
		.argument("<images...>", "image files, or folders of images")
		.option("--out <dir>", "folder of the results", out)
		.option("--seed <n>", "seed of all random draws", wholeNumber, 0)
		.option("--experiment <file>", "take classifier, detector, canvas and regions from this experiment file")
		.option("--classifier <model>", "CLIP model: a bundled name or a folder", "mini-clip")
		.option("--labels <names>", "labels to choose between, with commas between (default: those of the classifier)", commaList)
		.option("--detector <model>", "DETR or YOLOS model: a bundled name or a folder", "mini-yolos")
		.option("--canvas <pixels>", "side of the square canvas that every image is put on", positiveNumber, 64)
		.option("--policy <name>", "how a picture of another shape is put on the canvas: crop, stretch or letterbox", "crop")
		.option("--max-megapixels <n>", "refuse larger images", positiveNumber, 50)
		.option("--threads <n>", "threads of one operator", positiveNumber, 2);

/** The experiment that the flags describe: models and canvas, with these attacks and purifiers. */
export async function experimentOf(
	flags: ImageFlags,
	work: { attacks?: unknown[]; purifiers?: unknown[]; regions?: Record<string, unknown> | undefined },
): Promise<Experiment> {
	const { classifier, labels, detector, canvas, policy, maxMegapixels } = flags;
	const value = {
		name: "command-line",
		seed: flags.seed,
		data: { images: ".", canvas: { size: canvas, policy }, maxMegapixels },
		classifier: { kind: "clip", model: classifier, ...(labels ? { labels } : {}) },
		detector: { kind: "detr", model: detector },
		...work,
		regions: work.regions ?? {},
	};
	const described = parseExperiment(stringify(value), { file: "command line", lines: false });
	if (flags.experiment === undefined) return described;
	const { base, data, classifier: network, detector: finder, regions } = await loadExperiment(flags.experiment);
	const own = work.regions === undefined ? { regions, purifiers: described.purifiers.map((p) => ({ ...p, regions })) } : {};
	return { ...described, base, data, classifier: network, ...(finder ? { detector: finder } : {}), ...own };
}

export interface NamedImage {
	sample: Sample;
	/** Base name of its results. */
	name: string;
	canvas: Tensor;
}

export interface ImageFailure {
	image: string;
	code: string;
	message: string;
}

/** The images at these paths, unread; a path where nothing is goes to `fail`. */
export async function findImages(paths: readonly string[], fail: (failure: ImageFailure) => void): Promise<readonly Sample[]> {
	const there = paths.filter((path) => {
		if (existsSync(path)) return true;
		const { code, message } = new KintsugiError("image", {
			where: path,
			expected: "an image file or a folder",
			found: "nothing",
			fix: "check the path",
		});
		fail({ image: path, code, message });
		return false;
	});
	return (await openImageFiles({ paths: there })).samples;
}

function unreadable(path: string): never {
	throw new KintsugiError("image", {
		where: path,
		expected: "an image file",
		found: "no readable file of that name",
		fix: "check the path",
	});
}

/** Reads images one after the other; what cannot be read goes to `fail`. */
function reader(experiment: Experiment, fail: (failure: ImageFailure) => void) {
	const canvas = canvasOptions(experiment);
	const maxPixels = experiment.data.maxMegapixels * 1e6;
	const taken = new Set<string>();
	return async (samples: readonly Sample[]): Promise<NamedImage[]> => {
		const images: NamedImage[] = [];
		for (const sample of samples) {
			try {
				const decoded = await decodeImage(await readFile(sample.path).catch(() => unreadable(sample.path)), {
					name: sample.path,
					maxPixels,
				});
				images.push({ sample, name: freeName(sample.path, taken), canvas: toCanvas(decoded, canvas).canvas });
			} catch (error) {
				if (!(error instanceof KintsugiError)) throw error;
				fail({ image: sample.path, code: error.code, message: error.message });
			}
		}
		return images;
	};
}

/** The file's name without its ending, with a number where it is taken. */
function freeName(path: string, taken: Set<string>): string {
	const stem = basename(path, extname(path));
	let name = stem;
	for (let n = 2; taken.has(name); n++) name = `${stem}-${n}`;
	taken.add(name);
	return name;
}

export const resultPath = (out: string, name: string, ending: string): string => join(out, `${name}${ending}`);

/** Every label's logit, and which of them lie above their thresholds. */
export function scoresOf(
	{ labels, thresholds }: Classifier,
	logits: ArrayLike<number>,
): { top: string; present: string[]; logits: Record<string, number> } {
	const order = labels.map((_, k) => k).sort((a, b) => logits[b] - logits[a]);
	return {
		top: labels[order[0]],
		present: order.filter((k) => logits[k] > thresholds[k]).map((k) => labels[k]),
		logits: Object.fromEntries(labels.map((label, k) => [label, logits[k]])),
	};
}

export interface BatchContext {
	signal: AbortSignal;
	/** Share of the batch that is done. */
	onProgress(share: number): void;
}

export interface Batches {
	flags: Globals;
	/** Name of the work in progress reports. */
	stage: string;
	/** Says how images become canvases. */
	experiment: Experiment;
	/** Told of images that cannot be read. */
	fail: (failure: ImageFailure) => void;
}

/** Reads and works through images a batch at a time, with progress and Ctrl-C: no more than one batch is in memory. */
export async function forBatches(
	samples: readonly Sample[],
	{ flags, stage, experiment, fail }: Batches,
	work: (batch: readonly NamedImage[], context: BatchContext) => Promise<void>,
): Promise<void> {
	const progress = progressPrinter(flags);
	const started = performance.now();
	const total = samples.length;
	const read = reader(experiment, fail);
	await untilInterrupted(async (signal) => {
		for (let from = 0; from < total; from += BATCH) {
			signal.throwIfAborted();
			const batch = samples.slice(from, from + BATCH);
			const onProgress = (share: number) => {
				const done = from + share * batch.length;
				const seconds = (performance.now() - started) / 1000;
				progress.update({ stage, done, total, secondsLeft: done > 0 ? (seconds / done) * (total - done) : undefined });
			};
			const images = await read(batch);
			if (images.length > 0) await work(images, { signal, onProgress });
		}
	}).finally(progress.stop);
}

/** Names what was skipped, also with --quiet; a command with failures ends with exit code 1. */
export function tellFailures(failures: readonly ImageFailure[]): void {
	for (const { message } of failures) process.stderr.write(`skipped: ${message}\n`);
	if (failures.length > 0) throw INCOMPLETE;
}
