/** @file AutoencoderKL: the autoencoder of Stable Diffusion, image [-1, 1] <-> latents. */
import { z } from "zod";
import { graphBuilder } from "../../onnx/builder.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { AutoencoderDims } from "./autoencoder-tiny.ts";
import { downsample, resnet, selfAttention, upsample } from "./blocks.ts";
import { ignored, only, parseConfig, perBlock, positive, requireConfig } from "./config.ts";
import { conv2d, type Feature, groupNorm, type Net, silu } from "./layers.ts";
import type { Weights } from "./weights.ts";

const schema = z.strictObject({
	in_channels: positive.default(3),
	out_channels: positive.default(3),
	down_block_types: z.array(z.literal("DownEncoderBlock2D")).default(["DownEncoderBlock2D"]),
	up_block_types: z.array(z.literal("UpDecoderBlock2D")).default(["UpDecoderBlock2D"]),
	block_out_channels: perBlock.default([64]),
	layers_per_block: positive.default(1),
	act_fn: z.enum(["silu", "swish"]).default("silu"),
	latent_channels: positive.default(4),
	norm_num_groups: positive.default(32),
	scaling_factor: z.number().default(0.18215),
	shift_factor: only(null),
	latents_mean: only(null),
	latents_std: only(null),
	use_quant_conv: z.boolean().default(true),
	use_post_quant_conv: z.boolean().default(true),
	mid_block_add_attention: z.boolean().default(true),
	sample_size: ignored.optional(),
	// Only raises the precision of float16 arithmetic; the graph computes in float32 throughout.
	force_upcast: ignored.optional(),
});

export type AutoencoderKLConfig = z.infer<typeof schema>;

export function parseAutoencoderKL(json: Record<string, unknown>, where: string): AutoencoderKLConfig {
	const config = parseConfig(schema, json, where);
	const levels = config.block_out_channels.length;
	for (const name of ["down_block_types", "up_block_types"] as const) {
		requireConfig(config[name].length === levels, where, `${name} with ${levels} entries`, config[name]);
	}
	for (const channels of config.block_out_channels) {
		const fits = channels % config.norm_num_groups === 0;
		requireConfig(fits, where, `block_out_channels divisible by norm_num_groups = ${config.norm_num_groups}`, channels);
	}
	return config;
}

/** How many times smaller the latents are than the image. */
export const klScale = (config: AutoencoderKLConfig): number => 2 ** (config.block_out_channels.length - 1);

const normOf = (config: AutoencoderKLConfig) => ({ groups: config.norm_num_groups, epsilon: 1e-6 });

/** UNetMidBlock2D: a ResNet, attention with one head, a ResNet. */
function middle(net: Net, name: string, x: Feature, config: AutoencoderKLConfig): Feature {
	const norm = normOf(config);
	const first = resnet(net, `${name}.resnets.0`, x, { out: x.channels, norm });
	const attended = config.mid_block_add_attention
		? selfAttention(net, `${name}.attentions.0`, first, { norm, headDim: x.channels })
		: first;
	return resnet(net, `${name}.resnets.1`, attended, { out: x.channels, norm });
}

function head(net: Net, side: string, x: Feature, config: AutoencoderKLConfig, out: number): Feature {
	const normal = groupNorm(net, `${side}.conv_norm_out`, x, normOf(config));
	return conv2d(net, `${side}.conv_out`, { ...normal, value: silu(net, normal.value) }, { out });
}

/**
 * Image `sample` in [-1, 1] -> `latents` (not yet multiplied by the scaling factor).
 * The latents are the mean of the posterior: diffusers' pipelines draw from it, which this leaves out for the sake of repeatability.
 */
export function autoencoderKLEncoder(config: AutoencoderKLConfig, weights: Weights, { batch, height, width }: AutoencoderDims): Graph {
	const net: Net = { g: graphBuilder({ name: "AutoencoderKL.encoder" }), weights };
	const { g } = net;
	const norm = normOf(config);
	const image = {
		value: g.input("sample", "float", [batch, config.in_channels, height, width]),
		channels: config.in_channels,
		height,
		width,
	};
	let x = conv2d(net, "encoder.conv_in", image, { out: config.block_out_channels[0] });
	config.block_out_channels.forEach((out, level) => {
		const block = `encoder.down_blocks.${level}`;
		for (let i = 0; i < config.layers_per_block; i++) x = resnet(net, `${block}.resnets.${i}`, x, { out, norm });
		if (level < config.block_out_channels.length - 1) x = downsample(net, `${block}.downsamplers.0`, x, 0);
	});
	x = head(net, "encoder", middle(net, "encoder.mid_block", x, config), config, 2 * config.latent_channels);
	if (config.use_quant_conv) x = conv2d(net, "quant_conv", x, { out: x.channels, kernel: 1 });
	const channels = [g.ints([0]), g.ints([config.latent_channels]), g.ints([1])];
	const mean = g.op("Slice", [x.value, ...channels], {}, { name: "latents" });
	g.output(mean, "float", [batch, config.latent_channels, x.height, x.width]);
	return g.build();
}

/** `latents` (already divided by the scaling factor) -> image `sample` in [-1, 1], not clipped. */
export function autoencoderKLDecoder(config: AutoencoderKLConfig, weights: Weights, dims: AutoencoderDims): Graph {
	const net: Net = { g: graphBuilder({ name: "AutoencoderKL.decoder" }), weights };
	const { g } = net;
	const norm = normOf(config);
	const scale = klScale(config);
	const [height, width, channels] = [dims.height / scale, dims.width / scale, config.latent_channels];
	let x: Feature = { value: g.input("latents", "float", [dims.batch, channels, height, width]), channels, height, width };
	if (config.use_post_quant_conv) x = conv2d(net, "post_quant_conv", x, { out: channels, kernel: 1 });
	const levels = [...config.block_out_channels].reverse();
	x = middle(net, "decoder.mid_block", conv2d(net, "decoder.conv_in", x, { out: levels[0] }), config);
	levels.forEach((out, i) => {
		const block = `decoder.up_blocks.${i}`;
		for (let n = 0; n <= config.layers_per_block; n++) x = resnet(net, `${block}.resnets.${n}`, x, { out, norm });
		if (i < levels.length - 1) x = upsample(net, `${block}.upsamplers.0`, x);
	});
	x = head(net, "decoder", x, config, config.out_channels);
	g.output(g.op("Identity", [x.value], {}, { name: "sample" }), "float", [dims.batch, x.channels, x.height, x.width]);
	return g.build();
}
