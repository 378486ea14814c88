/** @file Products, convolutions, pooling, reductions and normalisation in jax-js. */
import { lax, nn, numpy as np } from "@jax-js/jax";
import { array, integers, type JaxContext, type JaxOperator, upTo } from "./context.ts";

const perChannel = (v: np.Array, rank: number) => np.reshape(v, [v.shape[0], ...upTo(rank - 2).map(() => 1)]);

const withBias = (c: JaxContext, y: np.Array) => (c.has(2) ? np.add(y, perChannel(c.x(2), c.out.length)) : y);

const pairs = (pads: readonly number[]): [number, number][] => upTo(pads.length / 2).map((i) => [pads[i], pads[i + pads.length / 2]]);

const conv: JaxOperator = (c) => {
	const ones = upTo(c.dims().length - 2).map(() => 1);
	const none = [...ones, ...ones].map(() => 0);
	// jax-js cannot differentiate a convolution whose padding is larger than its kernel.
	const x = np.pad(c.x(0), [[0, 0], [0, 0], ...pairs(c.ints("pads", none))]);
	const padding = ({ SAME_UPPER: "SAME", SAME_LOWER: "SAME_LOWER" } as const)[c.text("auto_pad", "")] ?? "VALID";
	const options = { rhsDilation: c.ints("dilations", ones), featureGroupCount: c.int("group", 1) };
	return withBias(c, lax.convGeneralDilated(x, c.x(1), c.ints("strides", ones), padding, options));
};

/** A convolution of the input with zeros between its elements, with weights that are flipped and whose channels are exchanged. */
const convTranspose: JaxOperator = (c) => {
	const [channels, filters, ...kernel] = c.dims(1);
	const group = c.int("group", 1);
	const ones = kernel.map(() => 1);
	const dilations = c.ints("dilations", ones);
	const spatial = upTo(kernel.length);
	const split = np.reshape(c.x(1), [group, channels / group, filters, ...kernel]);
	const exchanged = np.reshape(np.transpose(split, [0, 2, 1, ...spatial.map((i) => i + 3)]), [
		group * filters,
		channels / group,
		...kernel,
	]);
	const flipped = np.flip(
		exchanged,
		spatial.map((i) => i + 2),
	);
	const pads = pairs(
		c.ints(
			"pads",
			[...ones, ...ones].map(() => 0),
		),
	);
	const more = c.ints(
		"output_padding",
		ones.map(() => 0),
	);
	const wanted = pads.map(([a, b], i): [number, number] => [
		dilations[i] * (kernel[i] - 1) - a,
		dilations[i] * (kernel[i] - 1) - b + more[i],
	]);
	const options = { lhsDilation: c.ints("strides", ones), rhsDilation: dilations, featureGroupCount: group };
	const padding = wanted.map(([a, b]): [number, number] => [Math.max(a, 0), Math.max(b, 0)]);
	const y = lax.convGeneralDilated(c.x(0), flipped, ones, padding, options);
	// Padding that is negative cuts.
	const cut = spatial.reduce((v, i) => np.take(v, integers(upTo(c.out[i + 2]).map((n) => n + Math.max(0, -wanted[i][0]))), i + 2), y);
	return withBias(c, cut);
};

/** [N, C, ...] -> [N, C, out, kernel, out, kernel, ...]: the elements of every window; padding has the value `fill`. */
function windows(c: JaxContext, x: np.Array, fill: number, kernel: readonly number[]): np.Array {
	const ones = kernel.map(() => 1);
	const [strides, dilations] = [c.ints("strides", ones), c.ints("dilations", ones)];
	const pads = c.ints(
		"pads",
		[...ones, ...ones].map(() => 0),
	);
	const size = x.shape;
	// With ceil_mode the last windows reach behind the padding.
	const reach = kernel.map((k, i) => (c.out[i + 2] - 1) * strides[i] + dilations[i] * (k - 1) + 1);
	const behind = kernel.map((_, i) => Math.max(0, reach[i] - pads[i] - size[i + 2]));
	const width = kernel.map((_, i): [number, number] => [pads[i], behind[i]]);
	const zeros = np.pad(x, [[0, 0], [0, 0], ...width]);
	const inside = np.pad(np.ones([1, 1, ...size.slice(2)]), [[0, 0], [0, 0], ...width]);
	const padded = np.where(np.greater(inside, 0.5), zeros, fill);
	return kernel.reduce((v, k, i) => {
		const taps = upTo(c.out[i + 2]).flatMap((o) => upTo(k).map((t) => o * strides[i] + t * dilations[i]));
		return np.take(v, integers(taps, [c.out[i + 2], k]), 2 + 2 * i);
	}, padded);
}

const kernelAxes = (kernel: readonly number[]) => kernel.map((_, i) => 3 + 2 * i);

const maxPool: JaxOperator = (c) => {
	const kernel = c.ints("kernel_shape", []);
	return np.max(windows(c, c.x(), -1e30, kernel), kernelAxes(kernel));
};

const averagePool: JaxOperator = (c) => {
	const kernel = c.ints("kernel_shape", []);
	const sums = (x: np.Array) => np.sum(windows(c, x, 0, kernel), kernelAxes(kernel));
	const [, , ...size] = c.dims();
	const pads = c.ints(
		"pads",
		[...kernel, ...kernel].map(() => 0),
	);
	const counted = (i: number, n: number) => c.int("count_include_pad", 0) === 1 || (n >= pads[i] && n < pads[i] + size[i]);
	// The declared padding counts if asked for; what ceil_mode adds behind it never does.
	const ones = kernel.map((k, i) => {
		const total = size[i] + pads[i] + pads[i + kernel.length];
		const [stride, dilation] = [
			c.ints(
				"strides",
				kernel.map(() => 1),
			)[i],
			c.ints(
				"dilations",
				kernel.map(() => 1),
			)[i],
		];
		return upTo(c.out[i + 2]).map(
			(o) => upTo(k).filter((t) => o * stride + t * dilation < total && counted(i, o * stride + t * dilation)).length,
		);
	});
	const counts = ones.reduce<number[]>((all, list) => all.flatMap((n) => list.map((m) => n * m)), [1]);
	return np.trueDivide(sums(c.x()), array(counts, [1, 1, ...c.out.slice(2)]));
};

const spatialAxes = (c: JaxContext) => upTo(c.dims().length).slice(2);

/** Over the listed axes, all, or none with noop_with_empty_axes: then each element is reduced alone. */
const reduction =
	(f: (x: np.Array, axis: number[], options: { keepdims: boolean }) => np.Array): JaxOperator =>
	(c) => {
		const rank = c.dims().length;
		const listed = c.has(1) ? c.list(1).map((a) => (a < 0 ? a + rank : a)) : [];
		const axes = listed.length > 0 ? listed : c.int("noop_with_empty_axes", 0) === 1 ? [] : upTo(rank);
		if (axes.length === 0) return np.reshape(f(np.reshape(c.x(), [...c.dims(), 1]), [rank], { keepdims: false }), c.dims());
		return f(c.x(), axes, { keepdims: c.int("keepdims", 1) === 1 });
	};

/** (x - mean) / sqrt(variance + epsilon) over axes that are kept */
function standardised(c: JaxContext, x: np.Array, axes: number[]): np.Array {
	const centred = np.subtract(x.ref, np.mean(x, axes, { keepdims: true }));
	const variance = np.mean(np.square(centred.ref), axes, { keepdims: true });
	return np.trueDivide(centred, np.sqrt(np.add(variance, c.float("epsilon", 1e-5))));
}

const lastAxes = (c: JaxContext) => upTo(c.dims().length).slice(c.int("axis", -1));

const groupNorm: JaxOperator = (c) => {
	const dims = c.dims();
	const groups = c.int("num_groups", 1);
	const xhat = standardised(c, np.reshape(c.x(), [dims[0], groups, -1]), [2]);
	const own = c.dims(1)[0] === groups && groups !== dims[1];
	const spread = (v: np.Array) => perChannel(own ? np.repeat(v, dims[1] / groups) : v, dims.length);
	return np.add(np.multiply(np.reshape(xhat, dims), spread(c.x(1))), spread(c.x(2)));
};

const batchNorm: JaxOperator = (c) => {
	const rank = c.dims().length;
	const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => perChannel(c.x(i), rank));
	const xhat = np.trueDivide(np.subtract(c.x(), mean), np.sqrt(np.add(variance, c.float("epsilon", 1e-5))));
	return np.add(np.multiply(xhat, scale), bias);
};

/** x / (bias + alpha / size sum of x^2 over the neighbouring channels)^beta */
const lrn: JaxOperator = (c) => {
	const channels = c.dims()[1];
	const size = c.int("size", 1);
	const near = upTo(channels).flatMap((a) => upTo(channels).map((b) => (Math.abs(a - b) <= (size - 1) / 2 ? 1 : 0)));
	const sums = np.moveaxis(np.tensordot(array(near, [channels, channels]), np.square(c.x()), [[1], [1]]), 0, 1);
	const base = np.add(np.multiply(sums, c.float("alpha", 1e-4) / size), c.float("bias", 1));
	return np.multiply(c.x(), np.exp(np.multiply(np.log(base), -c.float("beta", 0.75))));
};

/** np.matmul of jax-js 0.1.25 lines up the first axes of batches of different ranks, not the last: both get the rank of the larger. */
const matmul: JaxOperator = (c) => {
	const rank = Math.max(c.dims(0).length, c.dims(1).length);
	const filled = (i: number) => {
		const dims = c.dims(i);
		return dims.length < 2 ? c.x(i) : np.reshape(c.x(i), [...upTo(rank - dims.length).map(() => 1), ...dims]);
	};
	return np.matmul(filled(0), filled(1));
};

const gemm: JaxOperator = (c) => {
	const operand = (i: number, name: string) => (c.int(name, 0) === 1 ? np.transpose(c.x(i)) : c.x(i));
	const product = np.multiply(np.matmul(operand(0, "transA"), operand(1, "transB")), c.float("alpha", 1));
	return c.has(2) ? np.add(product, np.multiply(c.x(2), c.float("beta", 1))) : product;
};

/** The form with lists of axes: that with an equation needs Node 22. */
const einsum: JaxOperator = (c) => {
	const [left, right] = c.text("equation", "").split("->");
	const letters = [...new Set(left.replaceAll(/[,.]/g, ""))].sort();
	const terms = left.split(",");
	const hidden = Math.max(...terms.map((term, i) => (term.includes("...") ? c.dims(i).length - term.length + 3 : 0)));
	const once = letters.filter((letter) => left.indexOf(letter) === left.lastIndexOf(letter)).join("");
	const numbers = (term: string) =>
		term.split(/(\.\.\.)/).flatMap((part) => (part === "..." ? upTo(hidden) : [...part].map((letter) => hidden + letters.indexOf(letter))));
	return np.einsum(...terms.flatMap((term, i) => [c.x(i), numbers(term)]), numbers(right ?? (hidden > 0 ? `...${once}` : once)));
};

/** Factor by factor: the gradient of np.prod is NaN where one of them is 0. */
function product(x: np.Array, axes: number[], { keepdims }: { keepdims: boolean }): np.Array {
	const dims = x.shape;
	const kept = dims.map((d, i) => (axes.includes(i) ? 1 : d));
	const made = axes.reduce(
		(v, axis) =>
			upTo(dims[axis])
				.map((i) => np.take(v.ref, integers([i]), axis))
				.reduce(np.multiply),
		x,
	);
	return np.reshape(made, keepdims ? kept : kept.filter((_, i) => !axes.includes(i)));
}

/** softmax(cap(scale Q K^T) + mask) V */
const attention: JaxOperator = (c) => {
	const flat = c.dims().length === 3;
	const heads = flat ? c.int("q_num_heads", 1) : c.dims()[1];
	const own = flat ? c.int("kv_num_heads", 1) : c.dims(1)[1];
	const byHead = (i: number, n: number) => {
		const [batch, length, width] = c.dims(i);
		return flat ? np.transpose(np.reshape(c.x(i), [batch, length, n, width / n]), [0, 2, 1, 3]) : c.x(i);
	};
	const repeated = (i: number) => np.repeat(byHead(i, own), heads / own, 1);
	const q = byHead(0, heads);
	const scale = c.float("scale", 1 / Math.sqrt(q.shape[3]));
	const raw = np.multiply(np.matmul(q, np.matrixTranspose(repeated(1))), scale);
	const cap = c.float("softcap", 0);
	const capped = cap > 0 ? np.multiply(np.tanh(np.multiply(raw, 1 / cap)), cap) : raw;
	const masked = c.has(3) ? np.add(capped, c.x(3)) : capped;
	const [queries, keys] = masked.shape.slice(2);
	const hidden = upTo(queries).flatMap((i) => upTo(keys).map((j) => (j > i && c.int("is_causal", 0) === 1 ? -1e30 : 0)));
	const y = np.matmul(nn.softmax(np.add(masked, array(hidden, [queries, keys])), -1), repeated(2));
	return flat ? np.reshape(np.transpose(y, [0, 2, 1, 3]), [...c.out]) : y;
};

const multiHeadAttention: JaxOperator = (c) => {
	const heads = c.int("num_heads", 1);
	const [q, k, v] = [0, 1, 2].map((i) => {
		const [batch, length, width] = c.dims(i);
		return np.transpose(np.reshape(c.x(i), [batch, length, heads, width / heads]), [0, 2, 1, 3]);
	});
	const scores = np.multiply(np.matmul(q, np.matrixTranspose(k)), 1 / Math.sqrt(c.dims()[2] / heads));
	const y = np.matmul(nn.softmax(c.has(5) ? np.add(scores, c.x(5)) : scores, -1), v);
	return np.reshape(np.transpose(y, [0, 2, 1, 3]), [...c.out]);
};

export const layers: Record<string, JaxOperator> = {
	MatMul: matmul,
	Gemm: gemm,
	Einsum: einsum,
	Attention: attention,
	"com.microsoft:MultiHeadAttention": multiHeadAttention,
	Conv: conv,
	ConvTranspose: convTranspose,
	MaxPool: maxPool,
	AveragePool: averagePool,
	GlobalAveragePool: (c) => np.mean(c.x(), spatialAxes(c), { keepdims: true }),
	GlobalMaxPool: (c) => np.max(c.x(), spatialAxes(c), { keepdims: true }),
	ReduceSum: reduction(np.sum),
	ReduceMean: reduction(np.mean),
	ReduceMax: reduction(np.max),
	ReduceMin: reduction(np.min),
	ReduceProd: reduction(product),
	ReduceL1: reduction((x, axis, o) => np.sum(np.abs(x), axis, o)),
	ReduceL2: reduction((x, axis, o) => np.sqrt(np.sum(np.square(x), axis, o))),
	ReduceSumSquare: reduction((x, axis, o) => np.sum(np.square(x), axis, o)),
	ReduceLogSum: reduction((x, axis, o) => np.log(np.sum(x, axis, o))),
	ReduceLogSumExp: reduction((x, axis, o) => nn.logsumexp(x, axis, o)),
	CumSum: (c) => {
		const axis = c.list(1)[0];
		const turned = (v: np.Array) => (c.int("reverse", 0) === 1 ? np.flip(v, axis) : v);
		const sums = turned(np.cumsum(turned(c.x()), axis));
		return c.int("exclusive", 0) === 1 ? np.subtract(sums, c.x()) : sums;
	},
	LayerNormalization: (c) => {
		const y = np.multiply(standardised(c, c.x(), lastAxes(c)), c.x(1));
		return c.has(2) ? np.add(y, c.x(2)) : y;
	},
	RMSNormalization: (c) => {
		const square = np.mean(np.square(c.x()), lastAxes(c), { keepdims: true });
		return np.multiply(np.trueDivide(c.x(), np.sqrt(np.add(square, c.float("epsilon", 1e-5)))), c.x(1));
	},
	InstanceNormalization: (c) => {
		const rank = c.dims().length;
		return np.add(np.multiply(standardised(c, c.x(), spatialAxes(c)), perChannel(c.x(1), rank)), perChannel(c.x(2), rank));
	},
	GroupNormalization: groupNorm,
	BatchNormalization: batchNorm,
	LpNormalization: (c) => np.trueDivide(c.x(), np.sqrt(np.sum(np.square(c.x()), c.int("axis", -1), { keepdims: true }))),
	LRN: lrn,
};
