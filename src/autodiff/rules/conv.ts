/** @file Convolution and its transpose. */
import type { Emit, Value } from "../emit.ts";
import type { RuleContext, RuleFamily, Vjp } from "../rule.ts";
import { extent, type Window, windowOf } from "../window.ts";

/**
 * dX of a convolution is a transposed convolution with the same weights. Rows that no window reached come back by output_padding
 * (which must be smaller than the stride) or, beyond that, by zero padding.
 */
function transposed(c: RuleContext, dy: Value, w: Value, win: Window, group: number): Value {
	const x = c.x(0);
	const spatial = x.dims.slice(2);
	const out = dy.dims.slice(2);
	const left = spatial.map((size, i) => size - ((out[i] - 1) * win.strides[i] + extent(win, i) - win.before[i] - win.after[i]));
	const outputPadding = left.map((n, i) => Math.min(Math.max(n, 0), win.strides[i] - 1));
	const made = [...x.dims.slice(0, 2), ...spatial.map((size, i) => size - left[i] + outputPadding[i])];
	const dx = c.e.op("ConvTranspose", [dy, w], made, {
		attributes: {
			strides: win.strides,
			dilations: win.dilations,
			kernel_shape: win.kernel,
			pads: [...win.before, ...win.after],
			output_padding: outputPadding,
			group,
		},
	});
	const rest = made.map((size, i) => x.dims[i] - size);
	return c.e.pad(
		dx,
		rest.map(() => 0),
		rest,
	);
}

/** W [M, C/g, k...] -> [C, M/g, k...], spatial axes reversed: the weights with which a stride-1 convolution computes dX. */
function flipped(e: Emit, w: Value, group: number): Value {
	const [m, perGroup, ...k] = w.dims;
	const split = e.reshape(w, [group, m / group, perGroup, ...k]);
	const swapped = e.transpose(split, [0, 2, 1, ...k.map((_, i) => i + 3)]);
	const merged = e.reshape(swapped, [group * perGroup, m / group, ...k]);
	const axes = k.map((_, i) => i + 2).filter((axis) => merged.dims[axis] > 1);
	if (axes.length === 0) return merged;
	const from = axes.map((axis) => merged.dims[axis] - 1);
	const to = axes.map((axis) => -merged.dims[axis] - 1);
	return e.slice(
		merged,
		from,
		to,
		axes,
		axes.map(() => -1),
	);
}

/** With group 1: dW = correlation of X with dY, batch and channel exchanged, stride and dilation exchanged. */
function weightGradient(c: RuleContext, dy: Value, win: Window, group: number): Value {
	if (group !== 1) throw c.unsupported("the gradient of grouped weights", "differentiate with respect to the input instead");
	const { e } = c;
	const [x, w] = [c.x(0), c.x(1)];
	const exchange = x.dims.map((_, i) => (i < 2 ? 1 - i : i));
	const spatial = x.dims.slice(2);
	const made = spatial.map(
		(size, i) => Math.floor((size + win.before[i] + win.after[i] - ((dy.dims[i + 2] - 1) * win.strides[i] + 1)) / win.dilations[i]) + 1,
	);
	const full = e.op("Conv", [e.transpose(x, exchange), e.transpose(dy, exchange)], [w.dims[1], w.dims[0], ...made], {
		attributes: { strides: win.dilations, dilations: win.strides, pads: [...win.before, ...win.after] },
	});
	const axes = spatial.map((_, i) => i + 2);
	const kept = e.slice(
		full,
		axes.map(() => 0),
		[...win.kernel],
		axes,
	);
	return e.transpose(kept, exchange);
}

const channelSum = ({ e }: RuleContext, dy: Value, like: Value) =>
	e.reshape(
		e.reduce(
			"ReduceSum",
			dy,
			dy.dims.map((_, i) => i).filter((i) => i !== 1),
		),
		like.dims,
	);

const convVjp: Vjp = (c, dy) => {
	const { e } = c;
	const [x, w] = [c.x(0), c.x(1)];
	const group = c.int("group", 1);
	const win = windowOf(c, w.dims.slice(2), x.dims.slice(2), dy.dims.slice(2));
	const dx = () => {
		const spatial = x.dims.slice(2);
		const before = spatial.map((_, i) => extent(win, i) - 1 - win.before[i]);
		const after = spatial.map((size, i) => size - (dy.dims[i + 2] + before[i] - extent(win, i) + 1));
		const plain = win.strides.every((s) => s === 1) && [...before, ...after].every((p) => p >= 0);
		// Measured on CPU, 2 threads: a convolution with flipped weights takes 0.4 to 0.75 of the time of ConvTranspose.
		if (!plain) return transposed(c, dy, w, win, group);
		return e.op("Conv", [dy, flipped(e, w, group)], x.dims, {
			attributes: { dilations: win.dilations, pads: [...before, ...after], group },
		});
	};
	const bias = c.inputs[2];
	return [
		c.needs(0) ? dx() : undefined,
		c.needs(1) ? weightGradient(c, dy, win, group) : undefined,
		bias && c.needs(2) ? channelSum(c, dy, bias) : undefined,
	];
};

const transposeVjp: Vjp = (c, dy) => {
	const { e } = c;
	const [x, w] = [c.x(0), c.x(1)];
	const kernel = w.dims.slice(2);
	if (c.text("auto_pad", "NOTSET") !== "NOTSET" || c.ints("output_shape")) {
		throw c.unsupported("auto_pad or output_shape", "export it with explicit pads and output_padding");
	}
	if (c.needs(1)) throw c.unsupported("the gradient of its weights", "differentiate with respect to the input instead");
	const win = windowOf(c, kernel, dy.dims.slice(2), x.dims.slice(2));
	// output_padding lengthens dY at the end; the convolution would only read it for a further, dropped, row.
	const reach = x.dims.slice(2).map((n, i) => (n - 1) * win.strides[i] + extent(win, i) - win.before[i]);
	const after = reach.map((n, i) => n - dy.dims[i + 2]);
	const cut = after.map((n) => Math.min(n, 0));
	const trimmed = e.pad(
		dy,
		dy.dims.map(() => 0),
		[0, 0, ...cut],
	);
	const dx = () =>
		e.op("Conv", [trimmed, w], x.dims, {
			attributes: {
				strides: win.strides,
				dilations: win.dilations,
				pads: [...win.before, ...after.map((n) => Math.max(n, 0))],
				group: c.int("group", 1),
			},
		});
	const bias = c.inputs[2];
	return [c.needs(0) ? dx() : undefined, undefined, bias && c.needs(2) ? channelSum(c, dy, bias) : undefined];
};

export const conv = {
	Conv: { vjp: convVjp },
	ConvTranspose: { vjp: transposeVjp },
} satisfies RuleFamily;
