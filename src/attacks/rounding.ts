/** @file Adversarial images as they are stored: rounded to 8 bits and classified again. */
import type { Classifier } from "../models/classifier.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
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
	const rows = options.epsilon < UNBOUNDED ? [] : Array.from({ length: images.dims[0] }, (_, n) => n).filter(lost);
	// By bisection: `high` is the shortest length known to fool, if it is within the list; `low` one that does not.
	const searches = rows.map((n) => ({ n, low: -1, high: LENGTHS.length }));
	for (;;) {
		const open = searches.filter(({ low, high }) => high - low > 1);
		if (open.length === 0) break;
		const tried = open.map(({ low, high }) => (low + high) >> 1);
		const candidates = open.map(({ n }, i) => {
			const [clean, candidate] = [row(images, n).data, row(unrounded, n).data];
			const moved = clean.map((v, j) => Math.min(1, Math.max(0, v + LENGTHS[tried[i]] * (candidate[j] - v))));
			return tensor(roundWithin(moved, clean, options), images.dims.slice(1));
		});
		const judged = await classifier.predict(stack(candidates));
		open.forEach((search, i) => {
			if (!fooled(search.n, row(judged, i).data)) {
				search.low = tried[i];
				return;
			}
			search.high = tried[i];
			row(rounded, search.n).data.set(candidates[i].data);
			row(logits, search.n).data.set(row(judged, i).data);
		});
	}
	return { rounded, logits, lengthened: searches.filter(({ high }) => high < LENGTHS.length).length };
}
