/** @file A small world for tests of the runner: a linear classifier of colours, a detector of nothing, a purifier that rounds. */
import { attackSchema } from "../../src/attacks/schema.ts";
import { KintsugiError } from "../../src/errors.ts";
import type { Parts } from "../../src/experiments/plan.ts";
import { stretch } from "../../src/image/geometry.ts";
import { fromBytes8, quantise } from "../../src/image/rgb.ts";
import type { Classifier } from "../../src/models/classifier.ts";
import type { Purifier } from "../../src/purifiers/purifier.ts";
import { regionsSchema } from "../../src/regions/regions.ts";
import { row, stack, type Tensor, tensor } from "../../src/tensor/tensor.ts";

export const SIDE = 4;
const PIXELS = 3 * SIDE * SIDE;
const SQUARE = { height: SIDE, width: SIDE };
const LABELS = ["red", "green", "blue"];

/** Logit of a colour = 20 times its mean minus the mean of all. */
function logitsOf(image: Tensor): Float32Array {
	const means = [0, 1, 2].map((c) => image.data.subarray((c * PIXELS) / 3, ((c + 1) * PIXELS) / 3).reduce((a, b) => a + b, 0) / SIDE ** 2);
	const mean = (means[0] + means[1] + means[2]) / 3;
	return Float32Array.from(means, (m) => 20 * (m - mean));
}

const each = (images: Tensor) => Array.from({ length: images.dims[0] }, (_, n) => row(images, n));
const logitTensor = (images: Tensor) => stack(each(images).map((image) => tensor(logitsOf(image), [3])));

const classifier = (): Classifier => ({
	name: "colours",
	hash: "colours-1",
	labels: LABELS,
	canvas: { height: SIDE, width: SIDE },
	thresholds: new Float32Array(3),
	predict: async (images) => logitTensor(images),
	lossGradient: async () => async (images, targets) => {
		const logits = logitTensor(images);
		const loss = Float32Array.from(each(logits), (z, n) => row(targets, n).data.reduce((sum, t, k) => sum - t * z.data[k], 0));
		const gradient = new Float32Array(images.data.length);
		for (let i = 0; i < gradient.length; i++) {
			const n = Math.floor(i / PIXELS);
			const channel = Math.floor((i % PIXELS) / SIDE ** 2);
			gradient[i] = -row(targets, n).data.reduce((sum, t, k) => sum + t * ((k === channel ? 1 : 0) - 1 / 3), 0) * (20 / SIDE ** 2);
		}
		return { loss, logits, gradient: tensor(gradient, images.dims) };
	},
	close: async () => {},
});

/** Moves every pixel half way to white inside the mask; fails on images whose id is in `faulty`. */
const purifier = (name: string, needsRegions: boolean, faulty: readonly string[], onCall: () => void): Purifier => ({
	name,
	options: { name, towards: 1 },
	needsRegions,
	async purify(inputs) {
		onCall();
		const bad = inputs.find(({ id }) => faulty.includes(id));
		if (bad) throw new KintsugiError("value", { where: bad.id, expected: "a fit image", found: "a faulty one", fix: "leave it out" });
		return inputs.map(({ image }) => ({
			image: quantise(
				tensor(
					image.data.map((v) => (v + 1) / 2),
					image.dims,
				),
			),
			mask: tensor(new Float32Array(SIDE * SIDE).fill(1), [1, SIDE, SIDE]),
		}));
	},
	close: async () => {},
});

export interface FakeOptions {
	/** Raw files of 48 bytes each. */
	paths: readonly string[];
	faulty?: readonly string[];
	onPurify?: () => void;
}

/** Parts whose images are raw files of `3 * SIDE * SIDE` bytes, named by their true colour. */
export function fakeParts({ paths, faulty = [], onPurify = () => {} }: FakeOptions): Parts {
	const regions = regionsSchema.parse({});
	const samples = paths.map((path) => ({ id: path.split("/").at(-1) ?? "", path, annotations: [] }));
	return {
		dataset: { name: "raw", hash: "raw-1", labels: LABELS, samples },
		canvas: {
			options: { size: SIDE },
			async load(bytes, path) {
				if (bytes.length === PIXELS) return { canvas: fromBytes8(bytes, [3, SIDE, SIDE]), mapping: stretch(SQUARE, SQUARE) };
				throw new KintsugiError("image", {
					where: path,
					expected: `${PIXELS} bytes`,
					found: `${bytes.length}`,
					fix: "copy the file again",
				});
			},
		},
		classifier: classifier(),
		truth: ({ id }) => Float32Array.from(LABELS, (label) => (id.startsWith(label) ? 1 : 0)),
		attacks: [
			{ name: "fgsm-0.05", family: "fgsm", spec: attackSchema.parse({ name: "fgsm", epsilon: 0.05 }) },
			{ name: "fgsm-0.2", family: "fgsm", spec: attackSchema.parse({ name: "fgsm", epsilon: 0.2 }) },
		],
		detector: {
			name: "whole",
			hash: "whole-1",
			labels: LABELS,
			detect: async (images) => each(images).map(() => [{ label: "red", score: 0.75, box: [0, 0, SIDE, SIDE] as const }]),
			close: async () => {},
		},
		purifiers: [
			{ name: "guided", purifier: purifier("guided", true, faulty, onPurify), purify: ["clean", "fgsm-0.05", "fgsm-0.2"], regions },
			{ name: "whole", purifier: purifier("whole", false, faulty, onPurify), purify: ["fgsm-0.2"], regions },
		],
		close: async () => {},
	};
}
