/** @file Translation invariance (Dong et al., CVPR 2019, arXiv 1904.02884): a gradient smoothed with a Gaussian kernel. */

export interface TranslationOptions {
	/** Side of the kernel in pixels, odd. */
	readonly kernel: number;
	/** Standard deviations from the kernel's middle to its outermost pixel. */
	readonly kernelReach: number;
}

/** One axis of the Gaussian kernel, of sum 1. */
export function gaussian({ kernel, kernelReach }: TranslationOptions): Float64Array {
	const middle = (kernel - 1) / 2;
	const raw = Float64Array.from({ length: kernel }, (_, i) => Math.exp(-0.5 * (((i - middle) / Math.max(1, middle)) * kernelReach) ** 2));
	const sum = raw.reduce((total, v) => total + v, 0);
	return raw.map((v) => v / sum);
}

/** `[C, height, width]` convolved with the kernel, plane by plane, zero outside; a Gaussian is the product of its two axes. */
export function smooth(gradient: Float32Array, { height, width }: { height: number; width: number }, kernel: Float64Array): Float32Array {
	const along = (values: Float32Array, length: number, stride: number): Float32Array => {
		const reach = (kernel.length - 1) / 2;
		return values.map((_, i) => {
			const at = Math.floor(i / stride) % length;
			let sum = 0;
			for (let k = Math.max(-reach, -at); k <= Math.min(reach, length - 1 - at); k++) sum += kernel[k + reach] * values[i + k * stride];
			return sum;
		});
	};
	return along(along(gradient, width, 1), height, width);
}
