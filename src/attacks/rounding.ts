/** @file Adversarial images as they are stored: rounded to 8 bits and classified again. */
import type { Classifier } from "../models/classifier.ts";
import { row, type Tensor, tensor } from "../tensor/tensor.ts";
import { mapRows, roundWithin, type ThreatModel, UNBOUNDED } from "./threat-model.ts";

export interface RoundingInput {
	/** Clean 8-bit images `[N, 3, H, W]`. */
	images: Tensor;
	/** Candidates inside the budget. */
	unrounded: Tensor;
	/** Logits `[N, K]` of the candidates. */
	floatLogits: Tensor;
	options: ThreatModel;
	classifier: Pick<Classifier, "predict">;
	fooled: (n: number, logits: Float32Array) => boolean;
}

export interface Rounded {
	rounded: Tensor;
	/** Logits `[N, K]` of the rounded images. */
	logits: Tensor;
	/** Images whose change had to be lengthened. */
	lengthened: number;
}

/**
 * The smallest change that fools a model ends just behind the boundary, and rounding takes it back (Carlini and Wagner, section VI.E,
 * search the lattice for that reason). Without a budget the change may be lengthened until its rounded form fools as well.
 */
const LENGTHS = [1.01, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 2, 3, 5, 10];

export async function roundAndJudge({ images, unrounded, floatLogits, options, classifier, fooled }: RoundingInput): Promise<Rounded> {
	const rounded = mapRows(unrounded, images, (candidate, pixels) => roundWithin(candidate, pixels, options));
	const logits = await classifier.predict(rounded);
	const lost = (n: number) => fooled(n, row(floatLogits, n).data) && !fooled(n, row(logits, n).data);
	let open = options.epsilon < UNBOUNDED ? [] : Array.from({ length: images.dims[0] }, (_, n) => n).filter(lost);
	const before = open.length;
	for (const length of LENGTHS) {
		if (open.length === 0) break;
		const size = images.data.length / images.dims[0];
		const longer = tensor(new Float32Array(open.length * size), [open.length, ...images.dims.slice(1)]);
		open.forEach((n, i) => {
			const [clean, candidate] = [row(images, n).data, row(unrounded, n).data];
			const moved = clean.map((v, j) => Math.min(1, Math.max(0, v + length * (candidate[j] - v))));
			row(longer, i).data.set(roundWithin(moved, clean, options));
		});
		const judged = await classifier.predict(longer);
		const found = open.map((n, i) => fooled(n, row(judged, i).data));
		open.forEach((n, i) => {
			if (!found[i]) return;
			row(rounded, n).data.set(row(longer, i).data);
			row(logits, n).data.set(row(judged, i).data);
		});
		open = open.filter((_, i) => !found[i]);
	}
	return { rounded, logits, lengthened: before - open.length };
}
