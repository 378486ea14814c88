/** @file From the raw head of YOLOX (centre offsets, log sizes, objectness, class scores) to detections. */
import { KintsugiError } from "../../errors.ts";
import { row, type Tensor } from "../../tensor/tensor.ts";
import type { Detection } from "../detector.ts";
import { type Box, nonMaximumSuppression } from "./boxes.ts";

export interface YoloxOptions {
	labels: readonly string[];
	/** Height and width of the model's input, in whose pixels boxes are returned. */
	input: { readonly height: number; readonly width: number };
	/** Strides of the heads in the order of their rows. */
	strides?: readonly number[];
	threshold: number;
	/** Overlap (IoU) above which the weaker of two boxes of one label is dropped. */
	nms?: number;
}

interface Cell {
	x: number;
	y: number;
	stride: number;
}

const STRIDES = [8, 16, 32];

/** Grid cells of all heads, row-major, in the order of the output's rows. */
function gridCells({ height, width }: { height: number; width: number }, strides: readonly number[]): Cell[] {
	return strides.flatMap((stride) => {
		const columns = Math.floor(width / stride);
		return Array.from({ length: Math.floor(height / stride) * columns }, (_, i) => ({
			x: i % columns,
			y: Math.floor(i / columns),
			stride,
		}));
	});
}

/** Detections of each image from `[N, rows, 5 + labels]`, best first: score = objectness x class score, one label a row. */
export function decodeYolox(output: Tensor, { labels, input, strides = STRIDES, threshold, nms = 0.45 }: YoloxOptions): Detection[][] {
	const cells = gridCells(input, strides);
	const [images, rows, columns] = output.dims;
	if (rows !== cells.length || columns !== 5 + labels.length) {
		throw new KintsugiError("model", {
			where: "YOLOX output",
			expected: `[N, ${cells.length}, ${5 + labels.length}] for a ${input.width} x ${input.height} input and ${labels.length} labels`,
			found: `[${output.dims.join(", ")}]`,
			fix: "check the input size, the strides and the labels",
		});
	}
	return Array.from({ length: images }, (_, n) => {
		const candidates: Detection[] = [];
		const head = row(output, n);
		for (let r = 0; r < rows; r++) {
			const values = row(head, r).data;
			if (values[4] < threshold) continue;
			let label = 0;
			for (let k = 1; k < labels.length; k++) if (values[5 + k] > values[5 + label]) label = k;
			const score = values[4] * values[5 + label];
			if (score < threshold) continue;
			const { x, y, stride } = cells[r];
			const width = Math.exp(values[2]) * stride;
			const height = Math.exp(values[3]) * stride;
			const box: Box = [(values[0] + x) * stride - width / 2, (values[1] + y) * stride - height / 2, width, height];
			candidates.push({ label: labels[label], score, box });
		}
		return nonMaximumSuppression(candidates, nms);
	});
}
