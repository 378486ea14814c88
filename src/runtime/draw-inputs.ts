/** @file Inputs for a graph of which nothing is known but types and dims. */
import { onGrid } from "../autodiff/directional.ts";
import { cotangentName } from "../autodiff/vjp.ts";
import type { Random } from "../tensor/random.ts";
import { type DType, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import type { SessionValue, Tensors } from "./session.ts";

export interface DrawnInputs {
	feeds: Tensors;
	filled: Record<string, "zeros" | "ones">;
}

export interface DrawOptions {
	range: readonly [low: number, high: number];
	wrt: readonly string[];
	loss: boolean;
}

/** The power of two at or below the width of a range. */
export const scaleOf = ([low, high]: readonly [number, number]): number => 2 ** Math.floor(Math.log2(high - low));

/** Float inputs at random, cotangents normal, targets one-hot, masks of ones, everything else zeros. */
export function drawInputs(inputs: readonly SessionValue[], draw: Random, { range, wrt, loss }: DrawOptions): DrawnInputs {
	const drawn: DrawnInputs = { feeds: {}, filled: {} };
	// Steps of up to a sixteenth of the scale stay within the range.
	const margin = scaleOf(range) / 16;
	for (const { name, dtype, dims: declared } of inputs) {
		const dims = declared.map(Number);
		const n = sizeOf(dims);
		const isMask = dtype === "bool" || (/mask/i.test(name) && !wrt.includes(name));
		if (dtype === "float32" && !isMask) {
			if (name.startsWith(cotangentName(""))) drawn.feeds[name] = tensor(draw.normals(n), dims);
			else if (loss && name === "targets") drawn.feeds[name] = oneHot(dims, draw);
			else drawn.feeds[name] = tensor(onGrid(draw.uniforms(n, range[0] + margin, range[1] - margin), scaleOf(range)), dims);
			continue;
		}
		drawn.filled[name] = isMask ? "ones" : "zeros";
		drawn.feeds[name] = constant(dtype, dims, isMask ? 1 : 0);
	}
	return drawn;
}

function oneHot(dims: readonly number[], draw: Random): Tensor {
	const [rows, labels] = dims;
	const hot = new Float32Array(rows * labels);
	for (let i = 0; i < rows; i++) hot[i * labels + draw.int(labels)] = 1;
	return tensor(hot, dims);
}

/** The bits of 1 as a float16. */
const HALF_ONE = 0x3c00;

function constant(dtype: DType, dims: readonly number[], value: 0 | 1): Tensor<DType> {
	const n = sizeOf(dims);
	switch (dtype) {
		case "float32":
			return tensor(new Float32Array(n).fill(value), dims);
		case "float64":
			return tensor(new Float64Array(n).fill(value), dims, dtype);
		case "int64":
			return tensor(new BigInt64Array(n).fill(BigInt(value)), dims, dtype);
		case "int32":
			return tensor(new Int32Array(n).fill(value), dims, dtype);
		case "float16":
			return tensor(new Uint16Array(n).fill(value * HALF_ONE), dims, dtype);
		default:
			return tensor(new Uint8Array(n).fill(value), dims, dtype);
	}
}
