/** @file How far two images `[3, H, W]` in [0, 1] are apart: PSNR, SSIM, norms. */
import { KintsugiError } from "../errors.ts";
import { assertDims, type Tensor } from "../tensor/tensor.ts";

/** Largest absolute difference of a value. */
export function linf(a: Tensor, b: Tensor): number {
	assertDims("linf", b, a.dims);
	return a.data.reduce((worst, v, i) => Math.max(worst, Math.abs(v - b.data[i])), 0);
}

/** Euclidean distance over all values. */
export function l2(a: Tensor, b: Tensor): number {
	assertDims("l2", b, a.dims);
	return Math.sqrt(a.data.reduce((sum, v, i) => sum + (v - b.data[i]) ** 2, 0));
}

/** Peak signal-to-noise ratio in decibels for a peak of 1; infinite for equal images. */
export function psnr(a: Tensor, b: Tensor): number {
	const distance = l2(a, b);
	return -10 * Math.log10((distance * distance) / a.data.length);
}

const RADIUS = 5;
const SIGMA = 1.5;
const C1 = 0.01 ** 2;
const C2 = 0.03 ** 2;

/** Gaussian window of 11 pixels, sum 1. */
const WINDOW = (() => {
	const bell = Float64Array.from({ length: 2 * RADIUS + 1 }, (_, i) => Math.exp(-((i - RADIUS) ** 2) / (2 * SIGMA * SIGMA)));
	const total = bell.reduce((sum, v) => sum + v, 0);
	return bell.map((v) => v / total);
})();

/**
 * Structural similarity (Wang et al., IEEE TIP 2004): Gaussian window 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 1,
 * averaged over all whole windows and over channels. Needs at least 11 x 11 pixels.
 */
export function ssim(a: Tensor, b: Tensor): number {
	assertDims("ssim", b, a.dims);
	const [channels, height, width] = a.dims;
	if (a.dims.length !== 3 || Math.min(height, width) < 2 * RADIUS + 1) {
		throw new KintsugiError("shape", {
			where: "ssim",
			expected: `images [C, H, W] of at least ${2 * RADIUS + 1} x ${2 * RADIUS + 1} pixels`,
			found: `[${a.dims.join(", ")}]`,
			fix: "use PSNR for small images",
		});
	}
	let sum = 0;
	const plane = height * width;
	for (let c = 0; c < channels; c++) {
		const x = Float64Array.from(a.data.subarray(c * plane, (c + 1) * plane));
		const y = Float64Array.from(b.data.subarray(c * plane, (c + 1) * plane));
		const blur = (values: Float64Array) => smooth(values, height, width);
		const [mx, my] = [blur(x), blur(y)];
		const [xx, yy, xy] = [blur(x.map((v) => v * v)), blur(y.map((v) => v * v)), blur(x.map((v, i) => v * y[i]))];
		let local = 0;
		for (let i = 0; i < mx.length; i++) {
			const [m, n] = [mx[i], my[i]];
			const covariance = xy[i] - m * n;
			const variances = xx[i] - m * m + (yy[i] - n * n);
			local += ((2 * m * n + C1) * (2 * covariance + C2)) / ((m * m + n * n + C1) * (variances + C2));
		}
		sum += local / mx.length;
	}
	return sum / channels;
}

/** Weighted means over all windows that lie inside: `[H - 10, W - 10]`. */
function smooth(values: Float64Array, height: number, width: number): Float64Array {
	const size = WINDOW.length;
	const outWidth = width - size + 1;
	const outHeight = height - size + 1;
	const rows = new Float64Array(height * outWidth);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < outWidth; x++) {
			let sum = 0;
			for (let k = 0; k < size; k++) sum += WINDOW[k] * values[y * width + x + k];
			rows[y * outWidth + x] = sum;
		}
	}
	const out = new Float64Array(outHeight * outWidth);
	for (let i = 0; i < out.length; i++) {
		let sum = 0;
		for (let k = 0; k < size; k++) sum += WINDOW[k] * rows[i + k * outWidth];
		out[i] = sum;
	}
	return out;
}
