/** @file Input diversity (Xie et al., CVPR 2019, arXiv 1803.06978): a random smaller copy on black, and its adjoint for gradients. */
import type { Random } from "../tensor/random.ts";

export interface DiversityOptions {
	/** Smallest side of the copy as a share of the image's, in (0, 1). */
	readonly resizeRate: number;
	/** Probability that an image is changed at all. */
	readonly diversity: number;
}

/** A linear map of one image `[C, H, W]`: `apply` works on pixels, `adjoint` on gradients with respect to its result. */
export interface View {
	apply(pixels: Float32Array): Float32Array;
	adjoint(gradient: Float32Array): Float32Array;
}

/** One axis: output i is (1 - weight[i]) * input[low[i]] + weight[i] * input[high[i]], written at i + offset. */
interface Axis {
	low: Int32Array;
	high: Int32Array;
	weight: Float64Array;
	offset: number;
}

/** Bilinear without antialiasing, pixel centres aligned (torch's `interpolate` with align_corners=False). */
function axis(size: number, out: number, offset: number): Axis {
	const at = Array.from({ length: out }, (_, i) => Math.max(0, ((i + 0.5) * size) / out - 0.5));
	return {
		low: Int32Array.from(at, Math.floor),
		high: Int32Array.from(at, (v) => Math.min(size - 1, Math.floor(v) + 1)),
		weight: Float64Array.from(at, (v) => v - Math.floor(v)),
		offset,
	};
}

const IDENTITY: View = { apply: (pixels) => pixels, adjoint: (gradient) => gradient };

/** The image `[C, height, width]` shrunk to `size` and placed at (`top`, `left`) on black. */
export function shrunk(
	image: { height: number; width: number },
	{ size, top, left }: { size: { height: number; width: number }; top: number; left: number },
): View {
	const { height, width } = image;
	const rows = axis(height, size.height, top);
	const columns = axis(width, size.width, left);
	/** Calls `visit` with the places of output and input of every pair that a weight joins. */
	const eachWeight = (length: number, visit: (to: number, from: number, weight: number) => void) => {
		for (let plane = 0; plane < length; plane += height * width) {
			for (let i = 0; i < size.height; i++) {
				for (let j = 0; j < size.width; j++) {
					const to = plane + (i + rows.offset) * width + j + columns.offset;
					const [wi, wj] = [rows.weight[i], columns.weight[j]];
					const [above, below] = [plane + rows.low[i] * width, plane + rows.high[i] * width];
					visit(to, above + columns.low[j], (1 - wi) * (1 - wj));
					visit(to, above + columns.high[j], (1 - wi) * wj);
					visit(to, below + columns.low[j], wi * (1 - wj));
					visit(to, below + columns.high[j], wi * wj);
				}
			}
		}
	};
	return {
		apply(pixels) {
			const out = new Float32Array(pixels.length);
			eachWeight(pixels.length, (to, from, weight) => {
				out[to] += weight * pixels[from];
			});
			return out;
		},
		adjoint(gradient) {
			const out = new Float32Array(gradient.length);
			eachWeight(gradient.length, (to, from, weight) => {
				out[from] += weight * gradient[to];
			});
			return out;
		},
	};
}

/** Draws a view of images of this size: its width, its place, and whether it is used (always four draws, as in torchattacks). */
export function drawView(random: Random, image: { height: number; width: number }, { resizeRate, diversity }: DiversityOptions): View {
	const smallest = Math.floor(image.width * resizeRate);
	const width = Math.max(1, smallest + random.int(image.width - smallest));
	const height = Math.max(1, Math.round((image.height * width) / image.width));
	const top = random.int(image.height - height);
	const left = random.int(image.width - width);
	if (random.uniform() >= diversity) return IDENTITY;
	return shrunk(image, { size: { height, width }, top, left });
}
