/** @file Antialiased resampling of 8-bit pictures: Pillow's `Image.resize` byte for byte, rows first (as Pillow < 13 always does). */
import type { Box } from "./geometry.ts";
import type { RgbImage, Size } from "./rgb.ts";

export type Filter = "bilinear" | "bicubic";

/** Interpolation kernels by distance, and how far they reach. */
const KERNELS: Record<Filter, { reach: number; weight: (distance: number) => number }> = {
	bilinear: { reach: 1, weight: (d) => Math.max(0, 1 - Math.abs(d)) },
	bicubic: { reach: 2, weight: (d) => keys(Math.abs(d)) },
};

/** Keys' cubic convolution with a = -0.5, Pillow's choice (ONNX's and OpenCV's default is -0.75). */
function keys(d: number): number {
	const a = -0.5;
	if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
	if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
	return 0;
}

/** Pillow's fixed-point precision: 32 bits less 8 for the pixel and 2 for overshoot. */
const BITS = 22;

interface Taps {
	/** First source pixel of each output pixel. */
	start: Int32Array;
	/** Number of source pixels of each output pixel. */
	count: Int32Array;
	/** Fixed-point weights, `stride` a output pixel. */
	weights: Int32Array;
	stride: number;
}

/** Weights along one axis: the source span [from, from + length) of `size` pixels becomes `out` pixels. */
function taps(filter: Filter, size: number, from: number, length: number, out: number): Taps {
	const { reach, weight } = KERNELS[filter];
	const scale = length / out;
	const widen = Math.max(scale, 1);
	const shrink = 1 / widen;
	const support = reach * widen;
	const stride = Math.ceil(support) * 2 + 1;
	const start = new Int32Array(out);
	const count = new Int32Array(out);
	const weights = new Int32Array(out * stride);
	for (let i = 0; i < out; i++) {
		const centre = from + (i + 0.5) * scale;
		const low = Math.max(0, Math.trunc(centre - support + 0.5));
		const high = Math.min(size, Math.trunc(centre + support + 0.5));
		const row = Float64Array.from({ length: high - low }, (_, k) => weight((low + k - centre + 0.5) * shrink));
		const norm = 1 / row.reduce((sum, w) => sum + w, 0);
		start[i] = low;
		count[i] = high - low;
		for (let k = 0; k < row.length; k++) {
			const fixed = row[k] * norm * 2 ** BITS;
			weights[i * stride + k] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
		}
	}
	return { start, count, weights, stride };
}

const clip8 = (sum: number) => Math.min(255, Math.max(0, sum >> BITS));

/** One pass over interleaved RGB: `lines` runs of pixels that lie `along` bytes apart, runs `across` bytes apart. */
function pass(
	source: Uint8Array,
	target: Uint8Array,
	lines: number,
	{ start, count, weights, stride }: Taps,
	steps: { from: { along: number; across: number }; to: { along: number; across: number } },
): void {
	const { from, to } = steps;
	const half = 1 << (BITS - 1);
	for (let line = 0; line < lines; line++) {
		for (let i = 0; i < start.length; i++) {
			let at = line * from.across + start[i] * from.along;
			let r = half;
			let g = half;
			let b = half;
			for (let k = i * stride, end = k + count[i]; k < end; k++, at += from.along) {
				const w = weights[k];
				r += source[at] * w;
				g += source[at + 1] * w;
				b += source[at + 2] * w;
			}
			const out = line * to.across + i * to.along;
			target[out] = clip8(r);
			target[out + 1] = clip8(g);
			target[out + 2] = clip8(b);
		}
	}
}

export interface ResampleOptions {
	filter?: Filter;
	/** The part of the source to show, in pixels; fractions are honoured. */
	box?: Box;
}

/** Resizes with antialiasing, first along rows, then along columns; the identity returns the same bytes. */
export function resample(image: RgbImage, to: Size, { filter = "bicubic", box }: ResampleOptions = {}): RgbImage {
	const [x, y, width, height] = box ?? [0, 0, image.width, image.height];
	let { data } = image;
	let rowBytes = image.width * 3;
	if (x !== 0 || width !== to.width || image.width !== to.width) {
		const next = new Uint8Array(image.height * to.width * 3);
		pass(data, next, image.height, taps(filter, image.width, x, width, to.width), {
			from: { along: 3, across: rowBytes },
			to: { along: 3, across: to.width * 3 },
		});
		data = next;
		rowBytes = to.width * 3;
	}
	if (y !== 0 || height !== to.height || image.height !== to.height) {
		const next = new Uint8Array(to.height * rowBytes);
		pass(data, next, to.width, taps(filter, image.height, y, height, to.height), {
			from: { along: rowBytes, across: 3 },
			to: { along: rowBytes, across: 3 },
		});
		data = next;
	}
	return { ...to, data: data === image.data ? data.slice() : data };
}
