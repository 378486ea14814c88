/** @file What the benchmarks of attacks attack: the two classifiers that need no download, with their images. */
import { join } from "node:path";
import { openCoco } from "../src/datasets/coco.ts";
import { COCO_CATEGORIES } from "../src/datasets/coco-categories.ts";
import { multiHot } from "../src/datasets/targets.ts";
import { type CanvasOptions, toCanvas } from "../src/image/canvas.ts";
import { decodeImage } from "../src/image/decode.ts";
import type { Classifier } from "../src/models/classifier.ts";
import { openClip } from "../src/models/clip.ts";
import { openOnnxClassifier } from "../src/models/onnx-classifier.ts";
import { type Tensor, tensor } from "../src/tensor/tensor.ts";

const root = join(import.meta.dirname, "..");

export interface Task {
	classifier: Classifier;
	/** Name of the data set. */
	dataset: string;
	images: Tensor[];
	/** Multi-hot true labels, one `[K]` an image. */
	truth: Tensor[];
	ids: string[];
}

interface Source {
	classifier: Classifier;
	data: { images: string; annotations: string };
	canvas: CanvasOptions;
}

async function scenes(): Promise<Source> {
	const canvas = { height: 64, width: 64 };
	const data = { images: join(root, "data/scenes/val"), annotations: join(root, "data/scenes/annotations/instances_val.json") };
	return { classifier: await openClip({ folder: join(root, "models/mini-clip"), canvas }), data, canvas };
}

async function coco(): Promise<Source> {
	const shared = join(root, "../shared");
	const canvas = { height: 416, width: 416 };
	const classifier = await openOnnxClassifier({
		model: join(shared, "models/yolox_nano.onnx"),
		labels: COCO_CATEGORIES.map((c) => c.name),
		scores: { kind: "max-over-rows", output: "output", objectness: 4, classes: [5, 85] },
		preprocessing: { channels: "bgr", scale: 255 },
		canvas,
		threshold: 0.35,
	});
	const data = { images: join(shared, "coco/train2017"), annotations: join(shared, "coco/annotations/instances_train2017.json") };
	return { classifier, data, canvas: { ...canvas, policy: "letterbox", align: "start", filter: "bilinear" } };
}

/** `scenes` (mini-clip) or `coco` (YOLOX-nano, beside the checkout), with the first `count` images. */
export async function openTask(name: string, count: number): Promise<Task> {
	const { classifier, data, canvas } = await (name === "coco" ? coco() : scenes());
	const dataset = await openCoco(data);
	const samples = dataset.samples.slice(0, count);
	return {
		classifier,
		dataset: dataset.name,
		images: await Promise.all(samples.map(async (s) => toCanvas(await decodeImage(s.path), canvas).canvas)),
		truth: samples.map((s) => tensor(multiHot(s, classifier.labels), [classifier.labels.length])),
		ids: samples.map((s) => s.id),
	};
}
