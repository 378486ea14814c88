/** @file Objects of the bundled scenes to paint anew, as training/measure.py chooses them, and whether mini-clip knows them. */
import { openCoco } from "../src/datasets/coco.ts";
import { resolveModel } from "../src/hub/resolve.ts";
import { toCanvas } from "../src/image/canvas.ts";
import { decodeImage } from "../src/image/decode.ts";
import { openClip } from "../src/models/clip.ts";
import type { PurifierInput } from "../src/purifiers/purifier.ts";
import { random } from "../src/tensor/random.ts";
import { row, stack, type Tensor } from "../src/tensor/tensor.ts";

export const CANVAS = { height: 64, width: 64 };

export interface PaintedObject {
	input: PurifierInput;
	label: string;
}

const path = (name: string) => new URL(`../data/scenes/${name}`, import.meta.url).pathname;

/** One object of each of the first scenes: at random, of those whose category occurs there once. */
export async function chooseObjects(count: number): Promise<PaintedObject[]> {
	const { samples } = await openCoco({ images: path("val"), annotations: path("annotations/instances_val.json") });
	const chosen: PaintedObject[] = [];
	for (const { id, path: file, annotations = [] } of samples) {
		const single = annotations.filter(({ label }) => annotations.filter((other) => other.label === label).length === 1);
		if (single.length === 0 || chosen.length === count) continue;
		const { label, box } = random(0, id).pick(single);
		const { canvas } = toCanvas(await decodeImage(file), CANVAS);
		chosen.push({ label, input: { id, image: canvas, regions: [{ label, score: 1, box, prompt: `a photo of a ${label}` }] } });
	}
	return chosen;
}

/** The first scenes with at least `least` objects, all of which are to be painted. */
export async function chooseScenes(count: number, least: number): Promise<PurifierInput[]> {
	const { samples } = await openCoco({ images: path("val"), annotations: path("annotations/instances_val.json") });
	const chosen = samples.filter(({ annotations = [] }) => annotations.length >= least).slice(0, count);
	return Promise.all(
		chosen.map(async ({ id, path: file, annotations = [] }) => ({
			id,
			image: toCanvas(await decodeImage(file), CANVAS).canvas,
			regions: annotations.map(({ label, box }) => ({ label, score: 1, box, prompt: `a photo of a ${label}` })),
		})),
	);
}

export interface Judge {
	/** Whether the label's score is above its threshold. */
	recognises(images: readonly Tensor[], labels: readonly string[]): Promise<boolean[]>;
	close(): Promise<void>;
}

/** mini-clip with its own thresholds. */
export async function openJudge(threads: number): Promise<Judge> {
	const { dir } = await resolveModel("mini-clip");
	const clip = await openClip({ folder: dir, canvas: CANVAS, threads });
	return {
		async recognises(images, labels) {
			const logits = await clip.predict(stack(images));
			const places = labels.map((label) => clip.labels.indexOf(label));
			return places.map((k, i) => row(logits, i).data[k] > clip.thresholds[k]);
		},
		close: () => clip.close(),
	};
}
