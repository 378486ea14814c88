/** @file What `runAttack` is given, and what it refuses. */
import { KintsugiError } from "../errors.ts";
import type { Classifier } from "../models/classifier.ts";
import { assertDims, type Tensor } from "../tensor/tensor.ts";
import { latticeError } from "./threat-model.ts";

export interface AttackInput {
	/** Clean canvases `[N, 3, H, W]` in [0, 1]. */
	images: Tensor;
	/** One id an image; names its random stream. */
	ids: readonly string[];
	/** Multi-hot true labels `[N, K]`; without it the model's own labels on the clean image are used. */
	truth?: Tensor | undefined;
	seed: number;
	/** Repetition of a randomised attack on the same image; default 0. */
	repetition?: number | undefined;
	/** Called with the share of work done, in [0, 1]. */
	onProgress?: ((done: number) => void) | undefined;
	signal?: AbortSignal | undefined;
}

/** Differences below this come from storing a level as a float32. */
const LATTICE_TOLERANCE = 1e-6;

function assertPixels(images: Tensor, ids: readonly string[]): void {
	const size = images.data.length / images.dims[0];
	for (let i = 0; i < images.data.length; i++) {
		const v = images.data[i];
		if (v >= 0 && v <= 1) continue;
		throw new KintsugiError("value", {
			where: `image ${ids[Math.floor(i / size)]}`,
			expected: "pixels in [0, 1]",
			found: `${v}`,
			fix: "divide 8-bit pixels by 255 and leave normalisation to the classifier",
		});
	}
}

function assertTruth(truth: Tensor, ids: readonly string[], labels: readonly string[]): void {
	const wrong = truth.data.findIndex((t) => t !== 0 && t !== 1);
	if (wrong < 0) return;
	throw new KintsugiError("value", {
		where: `true labels of image ${ids[Math.floor(wrong / labels.length)]}`,
		expected: "1 for each label that is true and 0 for the others",
		found: `${truth.data[wrong]} for ${labels[wrong % labels.length]}`,
		fix: "pass multi-hot labels, not label numbers or probabilities",
	});
}

/** Throws on input that cannot be attacked; returns by how much the images miss the 8-bit lattice (0 if they do not). */
export function checkInput(classifier: Classifier, { images, ids, truth }: AttackInput): number {
	const { height, width } = classifier.canvas;
	assertDims("attacked images", images, [-1, 3, height, width]);
	assertDims("true labels", truth ?? images, truth ? [images.dims[0], classifier.labels.length] : images.dims);
	if (images.dims[0] === 0 || ids.length !== images.dims[0]) {
		throw new KintsugiError("shape", {
			where: "attacked images",
			expected: "at least one image and as many ids as images",
			found: `${images.dims[0]} images, ${ids.length} ids`,
			fix: "pass one id for each image",
		});
	}
	assertPixels(images, ids);
	if (truth) assertTruth(truth, ids, classifier.labels);
	const error = latticeError(images.data);
	return error > LATTICE_TOLERANCE ? error : 0;
}
