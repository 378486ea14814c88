/** @file Opens what an experiment names: images, models, purifiers. */
import { resolve } from "node:path";
import { namedTargets } from "../attacks/targets.ts";
import { openCoco } from "../datasets/coco.ts";
import { COCO_CATEGORIES } from "../datasets/coco-categories.ts";
import type { Dataset, Sample } from "../datasets/dataset.ts";
import { openImageFolder } from "../datasets/image-folder.ts";
import { subset } from "../datasets/subset.ts";
import { multiHot } from "../datasets/targets.ts";
import { KintsugiError } from "../errors.ts";
import { resolveModel } from "../hub/resolve.ts";
import { type CanvasOptions, toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import type { Classifier } from "../models/classifier.ts";
import { openClip } from "../models/clip.ts";
import type { Detector } from "../models/detector.ts";
import { openDetector } from "../models/detectors/open-detector.ts";
import { openOnnxClassifier } from "../models/onnx-classifier.ts";
import { readThresholds, type ThresholdsFile, thresholdsOf } from "../models/thresholds.ts";
import type { Purifier } from "../purifiers/purifier.ts";
import { openPurifier, type PurifierSpec } from "../purifiers/registry.ts";
import type { SessionOptions } from "../runtime/index.ts";
import type { Experiment } from "./load.ts";
import type { NamedPurifier, Parts } from "./plan.ts";
import type { ClassifierFile, DetectorFile } from "./schema.ts";

type Labels = "coco" | readonly string[];

const labelNames = (labels: Labels): readonly string[] => (labels === "coco" ? COCO_CATEGORIES.map(({ name }) => name) : labels);

/** The .onnx file or the folder that a name or path stands for. */
async function locate(model: string, base: string): Promise<string> {
	const { file, dir } = await resolveModel(model, { base });
	return file ?? dir;
}

export async function openData({ data, seed, base }: Experiment): Promise<Dataset> {
	const images = resolve(base, data.images);
	const dataset =
		data.coco === undefined ? await openImageFolder({ images }) : await openCoco({ images, annotations: resolve(base, data.coco) });
	const { count, minObjects, labels } = data;
	return subset(dataset, { seed, minObjects, labels, ...(count === undefined ? {} : { count }) });
}

/** Height and width of the canvas, and how pictures are put on it. */
export function canvasOptions({ data: { canvas } }: Pick<Experiment, "data">): CanvasOptions {
	const { size, height, width, ...rest } = canvas;
	return { height: size ?? height ?? 0, width: size ?? width ?? 0, ...rest };
}

export async function openClassifier(
	file: ClassifierFile,
	{ base, canvas, labels, session }: { base: string; canvas: CanvasOptions; labels: readonly string[]; session?: SessionOptions },
): Promise<Classifier> {
	const size = { height: canvas.height, width: canvas.width };
	const path = await locate(file.model, base);
	const calibrated = file.thresholds === undefined ? undefined : await readThresholds(resolve(base, file.thresholds));
	const own = calibrated ? { thresholds: calibrated.thresholds } : {};
	if (file.kind === "clip") {
		if (calibrated) assertSamePrompt(file, calibrated);
		const names = file.labels ? labelNames(file.labels) : labels;
		const classifier = { folder: path, template: file.template, canvas: size, ...(names.length > 0 ? { labels: names } : {}) };
		if (calibrated && names.length > 0) thresholdsOf(names, calibrated.thresholds, file.thresholds ?? "");
		return openClip({ ...session, ...classifier, ...own });
	}
	const { kind: _, labels: names, thresholds: __, ...options } = file;
	return openOnnxClassifier({ ...session, ...options, ...own, model: path, labels: labelNames(names), canvas: size });
}

/** Thresholds belong to the sentence that they were calibrated with. */
function assertSamePrompt({ template, thresholds = "" }: Extract<ClassifierFile, { kind: "clip" }>, { prompt }: ThresholdsFile): void {
	if (prompt === undefined || prompt === template) return;
	throw new KintsugiError("config", {
		where: thresholds,
		expected: `thresholds for the template "${template}"`,
		found: `thresholds for "${prompt}"`,
		fix: "calibrate again with this template",
	});
}

export async function openDetectorFile(
	file: DetectorFile,
	{ base, session }: { base: string; session?: SessionOptions },
): Promise<Detector> {
	const path = await locate(file.model, base);
	if (file.kind === "detr") {
		const { model: _, ...options } = file;
		return openDetector({ ...options, path }, session);
	}
	const { model: _, labels, ...options } = file;
	return openDetector({ ...options, path, labels: [...labelNames(labels)] }, session);
}

export const openPurifierSpec = (spec: PurifierSpec, { base, session }: { base: string; session?: SessionOptions }): Promise<Purifier> =>
	openPurifier(spec, { resolveModel: (model) => resolveModel(model, { base }), ...(session ? { session } : {}) });

/** Opens all parts of an experiment. What was opened before a fault is closed again. */
export async function openParts(experiment: Experiment, session: SessionOptions = {}): Promise<Parts> {
	const { base, data } = experiment;
	const canvas = canvasOptions(experiment);
	const dataset = await openData(experiment);
	assertDetector(experiment);
	const opened: { close(): Promise<void> }[] = [];
	const keep = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
		const part = await opening;
		opened.push(part);
		return part;
	};
	const close = async () => {
		for (const part of opened) await part.close();
	};
	try {
		const classifier = await keep(openClassifier(experiment.classifier, { base, canvas, labels: dataset.labels, session }));
		assertTargets(experiment, classifier);
		const detector = experiment.detector ? await keep(openDetectorFile(experiment.detector, { base, session })) : undefined;
		const purifiers: NamedPurifier[] = [];
		for (const { name, spec, purify, regions } of experiment.purifiers) {
			const purifier = await keep(openPurifierSpec(spec, { base, session }));
			purifiers.push({ name, purifier, purify, regions });
		}
		return {
			dataset,
			canvas: {
				options: { ...canvas, maxMegapixels: data.maxMegapixels },
				load: async (bytes, path) => toCanvas(await decodeImage(bytes, { name: path, maxPixels: data.maxMegapixels * 1e6 }), canvas),
			},
			classifier,
			truth: (sample: Sample) => (sample.annotations ? multiHot(sample, classifier.labels) : undefined),
			attacks: experiment.attacks,
			detector,
			purifiers,
			close,
		};
	} catch (error) {
		await close();
		throw error;
	}
}

function assertDetector({ detector, purifiers }: Experiment): void {
	const needy = purifiers.find(({ spec }) => spec.name === "segmentation-guided" || (spec.name === "ddpm" && spec.region === "boxes"));
	if (!needy || detector) return;
	throw new KintsugiError("config", {
		where: `purifier ${needy.name}`,
		expected: "a detector that finds the regions it repaints",
		found: "none",
		fix: "add `detector` to the experiment",
	});
}

function assertTargets({ attacks }: Experiment, { labels, name: classifier }: Classifier): void {
	for (const { name, spec } of attacks) {
		const unknown = namedTargets(spec.target).find((label) => !labels.includes(label));
		if (unknown === undefined) continue;
		throw new KintsugiError("config", {
			where: `target of ${name}`,
			expected: `a label of ${classifier} (${labels.join(", ")})`,
			found: unknown,
			fix: "name one of these labels",
		});
	}
}
