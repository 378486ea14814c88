/** @file From the outputs of DETR and YOLOS (one softmax a query, last class = no object) to detections. */
import { row, type Tensor } from "../../tensor/tensor.ts";
import type { Detection } from "../detector.ts";
import { type Box, bestFirst } from "./boxes.ts";

export interface DetrOutputs {
	/** `[N, queries, labels + 1]` */
	logits: Tensor;
	/** `[N, queries, 4]`: centre x, centre y, width, height as shares of the model's input. */
	boxes: Tensor;
}

export interface DetrOptions {
	labels: readonly string[];
	threshold: number;
	/** Height and width of the model's input, in whose pixels boxes are returned. */
	input: { readonly height: number; readonly width: number };
}

/** Largest softmax probability over the first `count` of `logits`, with its index. */
function best(logits: Float32Array, count: number): { label: number; score: number } {
	const top = Math.max(...logits);
	let sum = 0;
	for (const z of logits) sum += Math.exp(z - top);
	let label = 0;
	for (let k = 1; k < count; k++) if (logits[k] > logits[label]) label = k;
	return { label, score: Math.exp(logits[label] - top) / sum };
}

/** Detections of each image, best first, with a score of at least `threshold`. */
export function decodeDetr({ logits, boxes }: DetrOutputs, { labels, threshold, input }: DetrOptions): Detection[][] {
	const [images, queries] = logits.dims;
	return Array.from({ length: images }, (_, n) => {
		const detections: Detection[] = [];
		for (let q = 0; q < queries; q++) {
			const { label, score } = best(row(row(logits, n), q).data, labels.length);
			if (score < threshold) continue;
			const [cx, cy, width, height] = row(row(boxes, n), q).data;
			const box: Box = [(cx - width / 2) * input.width, (cy - height / 2) * input.height, width * input.width, height * input.height];
			detections.push({ label: labels[label], score, box });
		}
		return bestFirst(detections);
	});
}
