/** @file Masks: `[1, H, W]`, 1 where the image may change, 0 where it is kept. */
import { KintsugiError } from "../errors.ts";
import { assertDims, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import type { Box } from "./geometry.ts";
import { imageDims, type Size } from "./rgb.ts";

/** Boxes from arithmetic miss whole pixels by this much. */
const SLACK = 1e-6;

/** The union of boxes, each grown by `padding` pixels, cut at the border, and rounded outward to whole pixels. */
export function maskFromBoxes(boxes: readonly Box[], { height, width }: Size, { padding = 0 }: { padding?: number } = {}): Tensor {
	const mask = zeros([1, height, width]);
	for (const [x, y, w, h] of boxes) {
		const left = Math.max(0, Math.floor(x - padding + SLACK));
		const right = Math.min(width, Math.ceil(x + w + padding - SLACK));
		const bottom = Math.min(height, Math.ceil(y + h + padding - SLACK));
		if (right <= left) continue;
		for (let row = Math.max(0, Math.floor(y - padding + SLACK)); row < bottom; row++)
			mask.data.fill(1, row * width + left, row * width + right);
	}
	return mask;
}

/** A mask of ones (everything may change) or of zeros. */
export const fullMask = ({ height, width }: Size, value: 0 | 1 = 1): Tensor =>
	tensor(new Float32Array(height * width).fill(value), [1, height, width]);

/** The larger value at every pixel. */
export const union = (first: Tensor, ...others: readonly Tensor[]): Tensor => combine("union", Math.max, first, others);

/** The smaller value at every pixel. */
export const intersection = (first: Tensor, ...others: readonly Tensor[]): Tensor => combine("intersection", Math.min, first, others);

/** 1 - mask. */
export const invert = (mask: Tensor): Tensor =>
	tensor(
		mask.data.map((v) => 1 - v),
		mask.dims,
	);

/** 1 where the mask is at least `threshold`, 0 elsewhere. */
export const binary = (mask: Tensor, threshold = 0.5): Tensor =>
	tensor(
		mask.data.map((v) => (v >= threshold ? 1 : 0)),
		mask.dims,
	);

/** Share of the picture that may change, in [0, 1]. */
export const areaShare = (mask: Tensor): number => mask.data.reduce((sum, v) => sum + v, 0) / mask.data.length;

/** Adds every pixel whose centre is at most `radius` pixels from a pixel of the mask. */
export function dilate(mask: Tensor, radius: number): Tensor {
	const [, height, width] = imageDims("dilate", mask);
	const out = zeros(mask.dims);
	const reach = Math.floor(radius);
	const before = new Int32Array(width + 1);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) before[x + 1] = before[x] + (mask.data[y * width + x] > 0 ? 1 : 0);
		if (before[width] === 0) continue;
		for (let dy = -reach; dy <= reach; dy++) {
			const target = y + dy;
			if (target < 0 || target >= height) continue;
			const half = Math.floor(Math.sqrt(radius * radius - dy * dy));
			for (let x = 0; x < width; x++) {
				if (before[Math.min(width, x + half + 1)] > before[Math.max(0, x - half)]) out.data[target * width + x] = 1;
			}
		}
	}
	return out;
}

/** Removes every pixel that is at most `radius` pixels from the rest of the picture. */
export const erode = (mask: Tensor, radius: number): Tensor => invert(dilate(invert(mask), radius));

/** Lets the mask fade out over `radius` pixels beyond its edge; inside it stays 1, further away 0. */
export function feather(mask: Tensor, radius: number): Tensor {
	const out = mask.data.slice();
	for (let k = 1; k <= radius; k++) {
		const { data } = dilate(mask, k);
		for (const [i, inside] of data.entries()) if (inside && out[i] === 0) out[i] = 1 - k / (Math.floor(radius) + 1);
	}
	return tensor(out, mask.dims);
}

/** Nearest-neighbour resizing, pixel floor(i * from / to), as diffusers brings a mask to the size of the latents. */
export function resizeMask(mask: Tensor, { height, width }: Size): Tensor {
	const [, fromHeight, fromWidth] = imageDims("resizeMask", mask);
	const out = new Float32Array(height * width);
	for (let y = 0; y < height; y++) {
		const row = Math.floor((y * fromHeight) / height) * fromWidth;
		for (let x = 0; x < width; x++) out[y * width + x] = mask.data[row + Math.floor((x * fromWidth) / width)];
	}
	return tensor(out, [1, height, width]);
}

/** The smallest box around everything above 0; undefined for an empty mask. */
export function maskBox(mask: Tensor): Box | undefined {
	const [, height, width] = imageDims("maskBox", mask);
	let [left, top, right, bottom] = [width, height, 0, 0];
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			if (mask.data[y * width + x] <= 0) continue;
			left = Math.min(left, x);
			right = Math.max(right, x + 1);
			top = Math.min(top, y);
			bottom = y + 1;
		}
	}
	return right > left ? [left, top, right - left, bottom - top] : undefined;
}

/** The connected parts of a mask (pixels that touch at a side or a corner), in reading order of their first pixels. */
export function components(mask: Tensor): Tensor[] {
	const [, height, width] = imageDims("components", mask);
	const seen = new Uint8Array(height * width);
	const parts: Tensor[] = [];
	for (let start = 0; start < seen.length; start++) {
		if (seen[start] || mask.data[start] <= 0) continue;
		const part = zeros(mask.dims);
		const stack = [start];
		seen[start] = 1;
		for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
			part.data[at] = mask.data[at];
			const [x, y] = [at % width, Math.floor(at / width)];
			for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
				for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
					const next = ny * width + nx;
					if (seen[next] || mask.data[next] <= 0) continue;
					seen[next] = 1;
					stack.push(next);
				}
			}
		}
		parts.push(part);
	}
	return parts;
}

/** `base` where the mask is 0 and `painted` where it is 1, both bit by bit; a blend in between. Images `[3, H, W]`. */
export function composite(base: Tensor, painted: Tensor, mask: Tensor): Tensor {
	const [channels, height, width] = imageDims("composite", base);
	assertDims("composite: painted", painted, base.dims);
	assertDims("composite: mask", mask, [1, height, width]);
	const plane = height * width;
	const out = base.data.slice();
	for (let i = 0; i < plane; i++) {
		const share = mask.data[i];
		if (share === 0) continue;
		for (let c = 0; c < channels; c++) {
			const at = c * plane + i;
			out[at] = share === 1 ? painted.data[at] : base.data[at] * (1 - share) + painted.data[at] * share;
		}
	}
	return tensor(out, base.dims);
}

function combine(where: string, pick: (a: number, b: number) => number, first: Tensor, others: readonly Tensor[]): Tensor {
	if (first === undefined) {
		throw new KintsugiError("shape", { where, expected: "at least one mask", found: "none", fix: "use fullMask for an empty list" });
	}
	const out = first.data.slice();
	for (const other of others) {
		assertDims(where, other, first.dims);
		for (let i = 0; i < out.length; i++) out[i] = pick(out[i], other.data[i]);
	}
	return tensor(out, first.dims);
}
