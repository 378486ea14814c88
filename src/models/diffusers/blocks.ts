/** @file The blocks of the two UNets and of AutoencoderKL, under the names that diffusers gives their weights. */
import {
	attention,
	averagePool,
	conv2d,
	type Feature,
	fromTokens,
	type GroupNormOptions,
	groupNorm,
	layerNorm,
	linear,
	type Net,
	silu,
	toTokens,
	upsampleNearest,
} from "./layers.ts";

export interface ResnetOptions {
	out: number;
	norm: GroupNormOptions;
	/** The time embedding `[1, channels]` (or `[N, channels]`) after its activation; left out in autoencoders. */
	time?: { value: string; channels: number };
	/** Whether time scales and shifts what the second norm gives, instead of being added before it. */
	scaleShift?: boolean;
	/** Halves or doubles the map before the first convolution and on the shortcut. */
	resample?: "down" | "up";
	/** The sum with the shortcut is divided by this. */
	outputScale?: number;
}

/** ResnetBlock2D: norm, SiLU, convolution, time, norm, SiLU, convolution, shortcut. */
export function resnet(net: Net, name: string, x: Feature, options: ResnetOptions): Feature {
	const { out, norm, time, scaleShift = false, resample, outputScale = 1 } = options;
	const { g } = net;
	const activated = (input: Feature): Feature => ({ ...input, value: silu(net, input.value) });
	const embedded = (channels: number, { value, channels: from }: { value: string; channels: number }) =>
		g.op("Reshape", [linear(net, `${name}.time_emb_proj`, value, { in: from, out: channels }), g.ints([-1, channels, 1, 1])]);
	const input = resampled(net, x, resample);
	let hidden = resampled(net, activated(groupNorm(net, `${name}.norm1`, x, norm)), resample);
	hidden = conv2d(net, `${name}.conv1`, hidden, { out });
	if (time && !scaleShift) hidden = { ...hidden, value: g.op("Add", [hidden.value, embedded(out, time)]) };
	hidden = groupNorm(net, `${name}.norm2`, hidden, norm);
	if (time && scaleShift) {
		const [scale, shift] = g.ops("Split", [embedded(2 * out, time)], 2, { axis: 1, num_outputs: 2 });
		const scaled = g.op("Mul", [hidden.value, g.op("Add", [scale, g.scalar(1)])]);
		hidden = { ...hidden, value: g.op("Add", [scaled, shift]) };
	}
	hidden = conv2d(net, `${name}.conv2`, activated(hidden), { out });
	const shortcut = x.channels === out ? input : conv2d(net, `${name}.conv_shortcut`, input, { out, kernel: 1 });
	const sum = g.op("Add", [shortcut.value, hidden.value]);
	return { ...hidden, value: outputScale === 1 ? sum : g.op("Div", [sum, g.scalar(outputScale)]) };
}

function resampled(net: Net, x: Feature, resample: ResnetOptions["resample"]): Feature {
	if (resample === "down") return averagePool(net, x);
	return resample === "up" ? upsampleNearest(net, x, 2 * x.height, 2 * x.width) : x;
}

/** Downsample2D with a convolution; padding 0 pads one row and one column at the end instead. */
export function downsample(net: Net, name: string, x: Feature, padding: number): Feature {
	return conv2d(net, `${name}.conv`, x, { out: x.channels, stride: 2, pads: padding === 0 ? [0, 0, 1, 1] : [1, 1, 1, 1] });
}

/** Upsample2D with a convolution. */
export function upsample(net: Net, name: string, x: Feature, height = 2 * x.height, width = 2 * x.width): Feature {
	return conv2d(net, `${name}.conv`, upsampleNearest(net, x, height, width), { out: x.channels });
}

export interface SelfAttentionOptions {
	/** Left out: without a norm. */
	norm: GroupNormOptions | undefined;
	headDim: number;
	outputScale?: number;
}

/** Self-attention over all positions with its own GroupNorm and shortcut, as in UNet2DModel and AutoencoderKL. */
export function selfAttention(net: Net, name: string, x: Feature, { norm, headDim, outputScale = 1 }: SelfAttentionOptions): Feature {
	const tokens = toTokens(net, norm ? groupNorm(net, `${name}.group_norm`, x, norm) : x);
	const heads = Math.floor(x.channels / headDim);
	const mixed = attention(net, name, tokens, { channels: x.channels, heads, queryTokens: x.height * x.width, bias: true });
	const sum = net.g.op("Add", [fromTokens(net, mixed, x).value, x.value]);
	return { ...x, value: outputScale === 1 ? sum : net.g.op("Div", [sum, net.g.scalar(outputScale)]) };
}

export interface TransformerOptions {
	heads: number;
	layers: number;
	groups: number;
	linearProjection: boolean;
	/** What the text says: `[N, tokens, channels]`. */
	context: { value: string; channels: number; tokens: number };
}

/** Transformer2DModel: self-attention, cross-attention to the text, gated feed-forward; with a shortcut around all of it. */
export function transformer(net: Net, name: string, x: Feature, options: TransformerOptions): Feature {
	const { heads, layers, groups, linearProjection, context } = options;
	const channels = x.channels;
	const queryTokens = x.height * x.width;
	const square = { in: channels, out: channels, tokens: queryTokens };
	// Transformer2DModel fixes this epsilon, whatever norm_eps says.
	const normal = groupNorm(net, `${name}.norm`, x, { groups, epsilon: 1e-6 });
	let tokens = linearProjection
		? linear(net, `${name}.proj_in`, toTokens(net, normal), square)
		: toTokens(net, conv2d(net, `${name}.proj_in`, normal, { out: channels, kernel: 1 }));
	for (let i = 0; i < layers; i++) {
		const block = `${name}.transformer_blocks.${i}`;
		const add = (value: string) => {
			tokens = net.g.op("Add", [value, tokens]);
		};
		add(attention(net, `${block}.attn1`, layerNorm(net, `${block}.norm1`, tokens, channels), { channels, heads, queryTokens }));
		add(attention(net, `${block}.attn2`, layerNorm(net, `${block}.norm2`, tokens, channels), { channels, heads, queryTokens, context }));
		add(feedForward(net, `${block}.ff.net`, layerNorm(net, `${block}.norm3`, tokens, channels), channels, queryTokens));
	}
	const out = linearProjection
		? fromTokens(net, linear(net, `${name}.proj_out`, tokens, square), x)
		: conv2d(net, `${name}.proj_out`, fromTokens(net, tokens, x), { out: channels, kernel: 1 });
	return { ...x, value: net.g.op("Add", [out.value, x.value]) };
}

/** GEGLU: one half of the projection, times the GELU of the other; then back to the channels. */
function feedForward(net: Net, name: string, x: string, channels: number, tokens: number): string {
	const { g } = net;
	const inner = 4 * channels;
	const half = (rows: readonly [number, number]) => linear(net, `${name}.0.proj`, x, { in: channels, out: 2 * inner, tokens, rows });
	const gated = g.op("Mul", [half([0, inner]), g.op("Gelu", [half([inner, 2 * inner])])]);
	return linear(net, `${name}.2`, gated, { in: inner, out: channels, tokens });
}
