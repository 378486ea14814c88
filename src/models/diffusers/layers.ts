/** @file The layers that the architectures share, each written as ONNX nodes under the names of its weights. */
import { float, floatTensor, type GraphBuilder } from "../../onnx/builder.ts";
import type { Weights } from "./weights.ts";

/** Where layers are written to, and where their weights come from. */
export interface Net {
	g: GraphBuilder;
	weights: Weights;
}

/** An image-like value `[N, channels, height, width]`; N may be symbolic. */
export interface Feature {
	value: string;
	channels: number;
	height: number;
	width: number;
}

export interface ConvOptions {
	out: number;
	kernel?: number;
	stride?: number;
	/** Top, left, bottom, right; by default half the kernel on every side. */
	pads?: readonly [number, number, number, number];
	bias?: boolean;
}

export function conv2d(net: Net, name: string, x: Feature, options: ConvOptions): Feature {
	const { out, kernel = 3, stride = 1, bias = true } = options;
	const half = (kernel - 1) / 2;
	const pads = options.pads ?? [half, half, half, half];
	const inputs = [x.value, net.weights.use(net.g, `${name}.weight`, [out, x.channels, kernel, kernel])];
	if (bias) inputs.push(net.weights.use(net.g, `${name}.bias`, [out]));
	const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads };
	const size = (n: number, padding: number) => Math.floor((n + padding - kernel) / stride) + 1;
	return {
		value: net.g.op("Conv", inputs, attributes, { name }),
		channels: out,
		height: size(x.height, pads[0] + pads[2]),
		width: size(x.width, pads[1] + pads[3]),
	};
}

export interface LinearOptions {
	in: number;
	out: number;
	bias?: boolean;
	/** Length of the sequence, where there is one. */
	tokens?: number;
	/** Only the outputs from the first to before the second: a part of the weights. */
	rows?: readonly [from: number, to: number];
}

/**
 * `[N, in]` -> `[N, out]`, or `[N, tokens, in]` -> `[N, tokens, out]`. PyTorch keeps the matrix transposed, and Gemm takes it so:
 * transposed by a node of its own, it would be in memory twice.
 */
export function linear(net: Net, name: string, x: string, { in: inputs, out, bias = true, tokens, rows }: LinearOptions): string {
	const { g, weights } = net;
	const part = (weight: string) => (rows ? g.op("Slice", [weight, g.ints([rows[0]]), g.ints([rows[1]]), g.ints([0])]) : weight);
	const flat = tokens === undefined ? x : g.op("Reshape", [x, g.ints([-1, inputs])]);
	const operands = [flat, part(weights.use(g, `${name}.weight`, [out, inputs]))];
	if (bias) operands.push(part(weights.use(g, `${name}.bias`, [out])));
	const product = g.op("Gemm", operands, { transB: 1 }, { name });
	const width = rows ? rows[1] - rows[0] : out;
	return tokens === undefined ? product : g.op("Reshape", [product, g.ints([-1, tokens, width])], {}, { name: `${name}.tokens` });
}

/** Over the last axis of `[..., channels]`. */
export function layerNorm(net: Net, name: string, x: string, channels: number, epsilon = 1e-5): string {
	const scale = net.weights.use(net.g, `${name}.weight`, [channels]);
	const bias = net.weights.use(net.g, `${name}.bias`, [channels]);
	return net.g.op("LayerNormalization", [x, scale, bias], { axis: -1, epsilon: float(epsilon) }, { name });
}

export interface GroupNormOptions {
	groups: number;
	epsilon: number;
}

/** GroupNorm as an instance normalisation over the groups, then scale and shift over the channels. */
export function groupNorm(net: Net, name: string, x: Feature, { groups, epsilon }: GroupNormOptions): Feature {
	const { g, weights } = net;
	const scale = weights.use(g, `${name}.weight`, [x.channels]);
	const bias = weights.use(g, `${name}.bias`, [x.channels]);
	const perChannel = (value: string) => g.op("Reshape", [value, g.ints([x.channels, 1, 1])]);
	const grouped = g.op("Reshape", [x.value, g.ints([0, groups, -1])]);
	const ones = g.constant(floatTensor(new Float32Array(groups).fill(1), [groups]));
	const nulls = g.constant(floatTensor(new Float32Array(groups), [groups]));
	const normal = g.op("InstanceNormalization", [grouped, ones, nulls], { epsilon: float(epsilon) }, { name: `${name}.normal` });
	const shaped = g.op("Reshape", [normal, g.ints([0, x.channels, x.height, x.width])]);
	const scaled = g.op("Mul", [shaped, perChannel(scale)]);
	return { ...x, value: g.op("Add", [scaled, perChannel(bias)], {}, { name }) };
}

/** x * sigmoid(x), also known as swish. */
export const silu = ({ g }: Net, x: string): string => g.op("Mul", [x, g.op("Sigmoid", [x])]);

/** Nearest-neighbour enlargement to the given size, as in torch.nn.functional.interpolate. */
export function upsampleNearest({ g }: Net, x: Feature, height: number, width: number): Feature {
	const attributes = { mode: "nearest", coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" };
	const doubled = height === 2 * x.height && width === 2 * x.width;
	const value = doubled
		? g.op("Resize", [x.value, "", g.constant(floatTensor([1, 1, 2, 2], [4]))], attributes)
		: g.op("Resize", [x.value, "", "", g.ints([height, width])], { ...attributes, axes: [2, 3] });
	return { ...x, value, height, width };
}

/** Means of 2 x 2 places; an odd last row or column is left out. */
export function averagePool({ g }: Net, x: Feature): Feature {
	const value = g.op("AveragePool", [x.value], { kernel_shape: [2, 2], strides: [2, 2] });
	return { ...x, value, height: Math.floor(x.height / 2), width: Math.floor(x.width / 2) };
}

export interface AttentionOptions {
	/** Channels of the queries' input and of the result. */
	channels: number;
	heads: number;
	queryTokens: number;
	/** Keys and values come from here; by default from the queries' input. */
	context?: { value: string; channels: number; tokens: number };
	/** Bias of the three input projections. */
	bias?: boolean;
	/** Names of the four projections below `name`. */
	names?: readonly [query: string, key: string, value: string, out: string];
	/** Added to the scores: `[queryTokens, contextTokens]`. */
	mask?: string;
}

/**
 * Multi-head attention, `[N, queryTokens, channels]` -> the same dims: softmax(QK' / sqrt(d) + mask) V, projected.
 * ONNX Runtime's own operator never holds all scores: 335 MB a layer in Stable Diffusion at 512 x 512.
 */
export function attention(net: Net, name: string, x: string, options: AttentionOptions): string {
	const { channels, heads, queryTokens, bias = false, names = ["to_q", "to_k", "to_v", "to_out.0"], mask } = options;
	const context = options.context ?? { value: x, channels, tokens: queryTokens };
	const { g } = net;
	const projected = (part: string, input: string, from: number, tokens: number) =>
		linear(net, `${name}.${part}`, input, { in: from, out: channels, bias, tokens });
	const inputs = [
		projected(names[0], x, channels, queryTokens),
		projected(names[1], context.value, context.channels, context.tokens),
		projected(names[2], context.value, context.channels, context.tokens),
	];
	if (mask) inputs.push("", "", g.op("Unsqueeze", [mask, g.ints([0, 1])]));
	const mixed = g.op("MultiHeadAttention", inputs, { num_heads: heads }, { name, domain: "com.microsoft" });
	return linear(net, `${name}.${names[3]}`, mixed, { in: channels, out: channels, tokens: queryTokens });
}

/** `[N, C, H, W]` -> `[N, H * W, C]`. */
export function toTokens({ g }: Net, x: Feature): string {
	return g.op("Transpose", [g.op("Reshape", [x.value, g.ints([0, x.channels, x.height * x.width])])], { perm: [0, 2, 1] });
}

/** `[N, H * W, C]` -> `[N, C, H, W]` in the shape of `like`. */
export function fromTokens({ g }: Net, tokens: string, like: Feature): Feature {
	const value = g.op("Reshape", [g.op("Transpose", [tokens], { perm: [0, 2, 1] }), g.ints([0, like.channels, like.height, like.width])]);
	return { ...like, value };
}
