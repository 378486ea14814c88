/** @file The blocks of the two UNets and of AutoencoderKL, under the names that diffusers gives their weights. */
import {
	attention,
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
	/** The time embedding `[1, channels]` after its activation; left out in autoencoders. */
	time?: { value: string; channels: number };
	/** The sum with the shortcut is divided by this. */
	outputScale?: number;
}

/** ResnetBlock2D: norm, SiLU, convolution, time, norm, SiLU, convolution, shortcut. */
export function resnet(net: Net, name: string, x: Feature, { out, norm, time, outputScale = 1 }: ResnetOptions): Feature {
	const { g } = net;
	const activated = (part: string, input: Feature) => ({
		...input,
		value: silu(net, groupNorm(net, `${name}.${part}`, input, norm).value),
	});
	let hidden = conv2d(net, `${name}.conv1`, activated("norm1", x), { out });
	if (time) {
		const shift = linear(net, `${name}.time_emb_proj`, time.value, { in: time.channels, out });
		hidden = { ...hidden, value: g.op("Add", [hidden.value, g.op("Reshape", [shift, g.ints([-1, out, 1, 1])])]) };
	}
	hidden = conv2d(net, `${name}.conv2`, activated("norm2", hidden), { out });
	const shortcut = x.channels === out ? x : conv2d(net, `${name}.conv_shortcut`, x, { out, kernel: 1 });
	const sum = g.op("Add", [shortcut.value, hidden.value]);
	return { ...hidden, value: outputScale === 1 ? sum : g.op("Div", [sum, g.scalar(outputScale)]) };
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
	norm: GroupNormOptions;
	headDim: number;
	outputScale?: number;
}

/** Self-attention over all positions with its own GroupNorm and shortcut, as in UNet2DModel and AutoencoderKL. */
export function selfAttention(net: Net, name: string, x: Feature, { norm, headDim, outputScale = 1 }: SelfAttentionOptions): Feature {
	const tokens = toTokens(net, groupNorm(net, `${name}.group_norm`, x, norm));
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
	const square = { in: channels, out: channels };
	// Transformer2DModel fixes this epsilon, whatever norm_eps says.
	const normal = groupNorm(net, `${name}.norm`, x, { groups, epsilon: 1e-6 });
	let tokens = linearProjection
		? linear(net, `${name}.proj_in`, toTokens(net, normal), square)
		: toTokens(net, conv2d(net, `${name}.proj_in`, normal, { out: channels, kernel: 1 }));
	const queryTokens = x.height * x.width;
	for (let i = 0; i < layers; i++) {
		const block = `${name}.transformer_blocks.${i}`;
		const add = (value: string) => {
			tokens = net.g.op("Add", [value, tokens]);
		};
		add(attention(net, `${block}.attn1`, layerNorm(net, `${block}.norm1`, tokens, channels), { channels, heads, queryTokens }));
		add(attention(net, `${block}.attn2`, layerNorm(net, `${block}.norm2`, tokens, channels), { channels, heads, queryTokens, context }));
		add(feedForward(net, `${block}.ff.net`, layerNorm(net, `${block}.norm3`, tokens, channels), channels));
	}
	const out = linearProjection
		? fromTokens(net, linear(net, `${name}.proj_out`, tokens, square), x)
		: conv2d(net, `${name}.proj_out`, fromTokens(net, tokens, x), { out: channels, kernel: 1 });
	return { ...x, value: net.g.op("Add", [out.value, x.value]) };
}

/** GEGLU: one half of the projection, times the GELU of the other; then back to the channels. */
function feedForward(net: Net, name: string, x: string, channels: number): string {
	const { g } = net;
	const inner = 4 * channels;
	const projected = linear(net, `${name}.0.proj`, x, { in: channels, out: 2 * inner });
	const [value, gate] = g.ops("Split", [projected], 2, { axis: -1, num_outputs: 2 });
	return linear(net, `${name}.2`, g.op("Mul", [value, g.op("Gelu", [gate])]), { in: inner, out: channels });
}
