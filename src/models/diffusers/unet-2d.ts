/** @file UNet2DModel: the unconditional UNet of the DDPM checkpoints. */
import { z } from "zod";
import { graphBuilder } from "../../onnx/builder.ts";
import type { Graph } from "../../onnx/graph.ts";
import { selfAttention } from "./blocks.ts";
import { ignored, only, parseConfig, perBlock, positive, requireConfig } from "./config.ts";
import type { Net } from "./layers.ts";
import { timeEmbedding } from "./time-embedding.ts";
import { type Attend, type UNetDims, unet } from "./unet.ts";
import type { Weights } from "./weights.ts";

const schema = z.strictObject({
	sample_size: z.union([positive, perBlock]).nullable().default(null),
	in_channels: positive.default(3),
	out_channels: positive.default(3),
	center_input_sample: only(false),
	time_embedding_type: only("positional"),
	time_embedding_dim: positive.nullable().default(null),
	freq_shift: z.number().default(0),
	flip_sin_to_cos: z.boolean().default(true),
	down_block_types: z
		.array(z.enum(["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]))
		.default(["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"]),
	mid_block_type: only("UNetMidBlock2D"),
	up_block_types: z
		.array(z.enum(["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]))
		.default(["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]),
	block_out_channels: perBlock.default([224, 448, 672, 896]),
	layers_per_block: positive.default(2),
	mid_block_scale_factor: z.number().positive().default(1),
	downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
	downsample_type: z.enum(["conv", "resnet"]).default("conv"),
	upsample_type: z.enum(["conv", "resnet"]).default("conv"),
	dropout: ignored.optional(),
	act_fn: z.enum(["silu", "swish"]).default("silu"),
	attention_head_dim: positive.nullable().default(8),
	norm_num_groups: positive.default(32),
	attn_norm_num_groups: positive.nullable().default(null),
	norm_eps: z.number().positive().default(1e-5),
	resnet_time_scale_shift: z.enum(["default", "scale_shift"]).default("default"),
	add_attention: z.boolean().default(true),
	class_embed_type: only(null),
	num_class_embeds: positive.nullable().default(null),
	num_train_timesteps: ignored.optional(),
});

export type UNet2DConfig = z.infer<typeof schema>;

export function parseUNet2D(json: Record<string, unknown>, where: string): UNet2DConfig {
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

/**
 * Inputs `sample` `[N, in, h, w]`, `timestep` float32 `[1]` (one for the whole batch) and, of networks with classes, `class_labels`
 * int64 `[N]`; output `out_sample` `[N, out, h, w]`.
 */
export function unet2D(config: UNet2DConfig, weights: Weights, { batch, height, width }: UNetDims): Graph {
	const levels = config.block_out_channels.length;
	const net: Net = { g: graphBuilder({ name: "UNet2DModel" }), weights };
	const { g } = net;
	const sample = g.input("sample", "float", [batch, config.in_channels, height, width]);
	const timestep = g.input("timestep", "float", [1]);
	const timeChannels = config.time_embedding_dim ?? 4 * config.block_out_channels[0];
	const time = timeEmbedding(net, timestep, {
		channels: config.block_out_channels[0],
		out: timeChannels,
		flipSinToCos: config.flip_sin_to_cos,
		freqShift: config.freq_shift,
		classes: classInput(net, config.num_class_embeds, batch),
	});
	const norm = { groups: config.norm_num_groups, epsilon: config.norm_eps };
	const scaleShift = config.resnet_time_scale_shift === "scale_shift";
	const headDim = (channels: number) => config.attention_head_dim ?? channels;
	const attend: Attend = (where, name, x) => selfAttention(where, name, x, { norm, headDim: headDim(x.channels) });
	// With "scale_shift", diffusers gives the middle attention a norm only where its groups are named.
	const middleGroups = config.attn_norm_num_groups ?? (scaleShift ? undefined : norm.groups);
	const attendMiddle: Attend = (where, name, x) =>
		selfAttention(where, name, x, {
			norm: middleGroups === undefined ? undefined : { ...norm, groups: middleGroups },
			headDim: headDim(x.channels),
			outputScale: config.mid_block_scale_factor,
		});
	const up = [...config.up_block_types].reverse();
	const x = unet(
		net,
		{ value: sample, channels: config.in_channels, height, width },
		{
			blockOutChannels: config.block_out_channels,
			layersPerBlock: Array.from({ length: levels }, () => config.layers_per_block),
			outChannels: config.out_channels,
			norm,
			downsamplePadding: config.downsample_padding,
			midScale: config.mid_block_scale_factor,
			time: { value: time, channels: timeChannels },
			scaleShift,
			resnetDown: config.down_block_types.map((type) => resampledByResnet(type, config.downsample_type)),
			resnetUp: up.map((type) => resampledByResnet(type, config.upsample_type)),
			down: config.down_block_types.map((type) => (type === "AttnDownBlock2D" ? attend : undefined)),
			middle: config.add_attention ? attendMiddle : undefined,
			up: up.map((type) => (type === "AttnUpBlock2D" ? attend : undefined)),
		},
	);
	g.output(g.op("Identity", [x.value], {}, { name: "out_sample" }), "float", [batch, x.channels, x.height, x.width]);
	return g.build();
}

/** Only blocks with attention read `downsample_type` and `upsample_type`; of the others the class says it. */
const resampledByResnet = (block: string, type: "conv" | "resnet"): boolean =>
	block.startsWith("Resnet") || (block.startsWith("Attn") && type === "resnet");

/** Declares the input of the classes, if the network has any. */
export function classInput({ g }: Net, count: number | null, batch: UNetDims["batch"]) {
	return count === null ? undefined : { labels: g.input("class_labels", "int64", [batch]), count };
}
