/** @file Thresholds for an experiment's classifier, from images that the experiment does not evaluate. */
import { readFile } from "node:fs/promises";
import { openCoco } from "../datasets/coco.ts";
import type { Dataset, Sample } from "../datasets/dataset.ts";
import { subset } from "../datasets/subset.ts";
import { multiHot } from "../datasets/targets.ts";
import { KintsugiError } from "../errors.ts";
import { sha256 } from "../hub/digest.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import { decide, overallF1, perLabelF1 } from "../metrics/decisions.ts";
import { calibrateThresholds, type LabelThreshold } from "../metrics/thresholds.ts";
import type { SessionOptions } from "../runtime/index.ts";
import { row, stack, type Tensor } from "../tensor/tensor.ts";
import type { Experiment } from "./load.ts";
import { canvasOptions, openClassifier, openData } from "./open.ts";

export const METHODS = ["per-label", "global"] as const;

/** From one to nine images a threshold learns their noise: 80 labels of 103 photographs lost a tenth of OF1 that way. */
export const MIN_POSITIVES = 10;

export interface CalibrateOptions {
	/** `per-label` maximises each label's F1; `global` finds one threshold that maximises F1 of all decisions. */
	method?: (typeof METHODS)[number];
	/** Labels with fewer calibration images share the global threshold; default `MIN_POSITIVES`. */
	minPositives?: number;
	/** Annotated images; default: those of the experiment's data set that it does not evaluate. */
	data?: { coco: string; images: string } | undefined;
	/** Number of calibration images, drawn by the experiment's seed; default all. */
	count?: number | undefined;
	session?: SessionOptions;
	/** Called with the number of images that are done and their number. */
	onProgress?: ((done: number, total: number) => void) | undefined;
	signal?: AbortSignal | undefined;
}

/** F1 of the labels' means (CF1) and of all decisions (OF1). */
interface Quality {
	CF1: number;
	OF1: number;
}

/** What `kintsugi calibrate` writes. */
export interface Calibration {
	/** The sentence of a CLIP classifier. */
	prompt?: string;
	thresholds: Record<string, number>;
	method: string;
	minPositives: number;
	classifier: string;
	data: { name: string; hash: string; images: number; skipped: number };
	/** On the calibration images: flattering for `calibrated`. */
	quality: { before: Quality; calibrated: Quality };
	labels: Record<string, LabelThreshold>;
}

const CHUNK = 8;

/** Calibrates the classifier of an experiment. Throws `dataset` if no image is left, or none with a label. */
export async function calibrate(experiment: Experiment, options: CalibrateOptions = {}): Promise<Calibration> {
	const { method = "per-label", minPositives = MIN_POSITIVES, session = {}, onProgress, signal } = options;
	const evaluated = await openData(experiment);
	const pool = await calibrationSet(experiment, evaluated, options);
	const canvas = canvasOptions(experiment);
	const maxPixels = experiment.data.maxMegapixels * 1e6;
	const load = async ({ path }: Sample) => toCanvas(await decodeImage(path, { maxPixels }), canvas).canvas;
	const classifier = await openClassifier(experiment.classifier, { base: experiment.base, canvas, labels: evaluated.labels, session });
	try {
		const logits: Float32Array[] = [];
		const truth: Float32Array[] = [];
		for (let from = 0; from < pool.samples.length; from += CHUNK) {
			signal?.throwIfAborted();
			const usable = await readable(pool.samples.slice(from, from + CHUNK), load);
			const scores = usable.length === 0 ? undefined : await classifier.predict(stack(usable.map(({ image }) => image)));
			usable.forEach(({ sample }, i) => {
				if (scores) logits.push(row(scores, i).data);
				truth.push(multiHot(sample, classifier.labels));
			});
			onProgress?.(Math.min(from + CHUNK, pool.samples.length), pool.samples.length);
		}
		const found = calibrateThresholds(logits, truth, { labels: classifier.labels.length, method, minPositives });
		if (!found) throw nothingToLearn(pool.name, `${logits.length} images without any of the classifier's labels`);
		const named = <T>(values: ArrayLike<T>) => Object.fromEntries(classifier.labels.map((label, k) => [label, values[k]]));
		const thresholds = Float32Array.from(found, ({ threshold }) => threshold);
		const { kind } = experiment.classifier;
		return {
			...(kind === "clip" ? { prompt: experiment.classifier.template } : {}),
			thresholds: named(thresholds),
			method,
			minPositives,
			classifier: classifier.name,
			data: { name: pool.name, hash: pool.hash, images: logits.length, skipped: pool.samples.length - logits.length },
			quality: { before: qualityOf(logits, truth, classifier.thresholds), calibrated: qualityOf(logits, truth, thresholds) },
			labels: named(found),
		};
	} finally {
		await classifier.close();
	}
}

/** The images to learn from: none of them has the bytes of one that the experiment evaluates. */
async function calibrationSet(experiment: Experiment, evaluated: Dataset, { data, count }: CalibrateOptions): Promise<Dataset> {
	const whole = data
		? await openCoco({ images: data.images, annotations: data.coco })
		: await openData({ ...experiment, data: { ...experiment.data, count: undefined } });
	const taken = new Set(await Promise.all(evaluated.samples.map(contentOf)));
	const contents = await Promise.all(whole.samples.map(contentOf));
	const samples = whole.samples.filter((_, i) => !taken.has(contents[i]));
	if (samples.length === 0) throw nothingToLearn(whole.name, `${whole.samples.length} images, all of them evaluated by the experiment`);
	return subset({ ...whole, samples }, { seed: experiment.seed, ...(count === undefined ? {} : { count }) });
}

const contentOf = async ({ path }: Sample): Promise<string> => sha256(await readFile(path).catch(() => path));

const nothingToLearn = (where: string, found: string) =>
	new KintsugiError("dataset", {
		where: `calibration on ${where}`,
		expected: "annotated images that the experiment does not evaluate",
		found,
		fix: "set data.count in the experiment, so that images are left, or name another data set",
	});

/** Images that can be read, with their canvases. */
async function readable(
	samples: readonly Sample[],
	load: (sample: Sample) => Promise<Tensor>,
): Promise<{ sample: Sample; image: Tensor }[]> {
	const read = await Promise.all(
		samples.map((sample) =>
			load(sample).then(
				(image) => [{ sample, image }],
				(error: unknown) => {
					if (error instanceof KintsugiError && error.code === "image") return [];
					throw error;
				},
			),
		),
	);
	return read.flat();
}

function qualityOf(logits: readonly Float32Array[], truth: readonly Float32Array[], thresholds: Float32Array): Quality {
	const decisions = decide(logits, thresholds);
	const ones = new Uint8Array(logits.length).fill(1);
	return { CF1: perLabelF1(decisions, truth).of(ones), OF1: overallF1(decisions, truth).of(ones) };
}
