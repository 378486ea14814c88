/** @file Pooling. MaxPool gives the cotangent to the first maximum of a window, as ONNX Runtime and PyTorch do. */
import { floatTensor } from "../../onnx/builder.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { MAX_TABLE, type RuleContext, type RuleFamily, type Vjp } from "../rule.ts";
import { extent, type Window, windowOf } from "../window.ts";

/**
 * ONNX before opset 22 counts a last window that starts behind the input and its front padding; the CPU kernel drops it,
 * so the dims that ONNX Runtime infers for such a node are wrong.
 */
function poolWindow(c: RuleContext): Window {
	const [input, output] = [c.x().dims.slice(2), c.y.dims.slice(2)];
	const win = windowOf(c, c.ints("kernel_shape") ?? [], input, output);
	if (output.some((n, i) => (n - 1) * win.strides[i] >= input[i] + win.before[i])) {
		throw c.unsupported("ceil_mode with a last window outside the input", "export it with ceil_mode=False");
	}
	return win;
}

/** The Indices output addresses the flattened input; overlapping windows add up (MaxUnpool would overwrite). */
const maxPool: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	poolWindow(c);
	if (c.int("storage_order", 0) !== 0) throw c.unsupported("storage_order 1", "export it with storage_order 0");
	const size = [sizeOf(x.dims)];
	const indices = e.reshape(c.extra(1, { type: "int64", dims: dy.dims }), [sizeOf(dy.dims)]);
	const zero = e.full(0, dy.type, size);
	const scattered = e.op("ScatterElements", [zero, indices, e.reshape(dy, [sizeOf(dy.dims)])], size, {
		attributes: { axis: 0, reduction: "add" },
	});
	return [e.reshape(scattered, x.dims)];
};

/** How many counted input positions each window of one axis covers. */
function counts(win: Window, axis: number, input: number, output: number, includePad: boolean): number[] {
	const low = includePad ? -win.before[axis] : 0;
	const high = includePad ? input + win.after[axis] : input;
	return Array.from({ length: output }, (_, o) => {
		const start = o * win.strides[axis] - win.before[axis];
		const taps = Array.from({ length: win.kernel[axis] }, (__, k) => start + k * win.dilations[axis]);
		return taps.filter((t) => t >= low && t < high).length;
	});
}

/** dY over the window's size, spread by a transposed convolution with ones, one channel at a time. */
const averagePool: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	const spatial = x.dims.slice(2);
	const out = dy.dims.slice(2);
	const win = poolWindow(c);
	if (sizeOf(out) * Math.max(...win.kernel) > MAX_TABLE)
		throw c.unsupported(`a window of ${win.kernel} over ${spatial}`, "pool in smaller steps");
	const perAxis = spatial.map((size, i) => counts(win, i, size, out[i], c.int("count_include_pad", 0) === 1));
	const share = out.reduce<number[]>((all, _, axis) => all.flatMap((s) => perAxis[axis].map((n) => s / n)), [1]);
	const scaled = e.mul(dy, e.cast(e.constant(floatTensor(share, [1, 1, ...out])), dy.type));
	const planes = sizeOf(x.dims.slice(0, 2));
	const ones = e.full(1, dy.type, [1, 1, ...win.kernel]);
	const covered = out.map((n, i) => (n - 1) * win.strides[i] + extent(win, i));
	const spread = e.op("ConvTranspose", [e.reshape(scaled, [planes, 1, ...out]), ones], [planes, 1, ...covered], {
		attributes: { strides: win.strides, dilations: win.dilations, kernel_shape: win.kernel },
	});
	// Padding is cut, and rows behind the last window come back as zeros.
	const after = spatial.map((size, i) => size + win.before[i] - covered[i]);
	const cut = e.pad(spread, [0, 0, ...win.before.map((n) => -n)], [0, 0, ...after]);
	return [e.reshape(cut, x.dims)];
};

const spatialAxes = (c: RuleContext) =>
	c
		.x()
		.dims.map((_, i) => i)
		.slice(2);

const globalAverage: Vjp = (c, dy) => [c.e.expand(c.e.mul(dy, 1 / sizeOf(c.x().dims.slice(2))), c.x().dims)];

const globalMax: Vjp = (c, dy) => {
	const { e } = c;
	const hit = e.cast(e.binary("Equal", c.x(), c.y, "bool"), dy.type);
	return [e.mul(hit, e.div(dy, e.reduce("ReduceSum", hit, spatialAxes(c))))];
};

export const pool = {
	MaxPool: { vjp: maxPool },
	AveragePool: { vjp: averagePool },
	GlobalAveragePool: { vjp: globalAverage },
	GlobalMaxPool: { vjp: globalMax },
} satisfies RuleFamily;
