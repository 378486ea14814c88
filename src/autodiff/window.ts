/** @file The window of a convolution or pooling, with its padding resolved. */
import type { RuleContext } from "./rule.ts";

export interface Window {
	kernel: readonly number[];
	strides: readonly number[];
	dilations: readonly number[];
	/** Padding in front of each spatial axis. */
	before: readonly number[];
	/** Declared padding behind each spatial axis. */
	after: readonly number[];
}

/** Reads kernel_shape, strides, dilations, pads and auto_pad; spatial dims are those of input and output behind [N, C]. */
export function windowOf(c: RuleContext, kernel: readonly number[], input: readonly number[], output: readonly number[]): Window {
	const ones = kernel.map(() => 1);
	const strides = c.ints("strides") ?? ones;
	const dilations = c.ints("dilations") ?? ones;
	const given = c.ints("pads");
	const autoPad = c.text("auto_pad", "NOTSET");
	if (autoPad === "SAME_UPPER" || autoPad === "SAME_LOWER") {
		const total = kernel.map((k, i) => Math.max(0, (output[i] - 1) * strides[i] + (k - 1) * dilations[i] + 1 - input[i]));
		const small = total.map((t) => Math.floor(t / 2));
		const large = total.map((t, i) => t - small[i]);
		const [before, after] = autoPad === "SAME_UPPER" ? [small, large] : [large, small];
		return { kernel, strides, dilations, before, after };
	}
	const pads = autoPad === "VALID" || !given ? kernel.flatMap(() => [0, 0]) : given;
	return { kernel, strides, dilations, before: pads.slice(0, kernel.length), after: pads.slice(kernel.length) };
}

/** Input positions that the window covers beyond its start: dilation (k - 1) + 1. */
export const extent = (w: Window, axis: number): number => w.dilations[axis] * (w.kernel[axis] - 1) + 1;
