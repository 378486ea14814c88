/** @file UNet2DConditionModel: the UNet of Stable Diffusion, steered by text; 4 channels, or 9 for inpainting. */
import { z } from "zod";
import { graphBuilder } from "../../onnx/builder.ts";
import type { Graph } from "../../onnx/graph.ts";
import { transformer } from "./blocks.ts";
import { ignored, only, parseConfig, perBlock, positive, requireConfig } from "./config.ts";
import type { Net } from "./layers.ts";
import { timeEmbedding } from "./time-embedding.ts";
import { type Attend, type UNetDims, unet } from "./unet.ts";
import type { Weights } from "./weights.ts";

const oneOrPerBlock = z.union([positive, perBlock]);

const schema = z.strictObject({
	sample_size: z.union([positive, perBlock]).nullable().default(null),
	in_channels: z.union([z.literal(4), z.literal(9)]).default(4),
	out_channels: positive.default(4),
	center_input_sample: only(false),
	flip_sin_to_cos: z.boolean().default(true),
	freq_shift: z.number().default(0),
	down_block_types: z
		.array(z.enum(["DownBlock2D", "CrossAttnDownBlock2D"]))
		.default(["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]),
	mid_block_type: z.literal("UNetMidBlock2DCrossAttn").nullable().default("UNetMidBlock2DCrossAttn"),
	up_block_types: z
		.array(z.enum(["UpBlock2D", "CrossAttnUpBlock2D"]))
		.default(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
	only_cross_attention: only(false),
	block_out_channels: perBlock.default([320, 640, 1280, 1280]),
	layers_per_block: oneOrPerBlock.default(2),
	downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
	mid_block_scale_factor: z.number().positive().default(1),
	dropout: ignored.optional(),
	act_fn: z.enum(["silu", "swish"]).default("silu"),
	norm_num_groups: positive.default(32),
	norm_eps: z.number().positive().default(1e-5),
	cross_attention_dim: positive.default(1280),
	transformer_layers_per_block: oneOrPerBlock.default(1),
	reverse_transformer_layers_per_block: only(null),
	encoder_hid_dim: only(null),
	encoder_hid_dim_type: only(null),
	attention_head_dim: oneOrPerBlock.default(8),
	num_attention_heads: only(null),
	dual_cross_attention: only(false),
	use_linear_projection: z.boolean().default(false),
	class_embed_type: only(null),
	addition_embed_type: only(null),
	addition_time_embed_dim: only(null),
	num_class_embeds: only(null),
	// Only raises the precision of float16 arithmetic; the graph computes in float32 throughout.
	upcast_attention: ignored.optional(),
	resnet_time_scale_shift: only("default"),
	resnet_skip_time_act: only(false),
	resnet_out_scale_factor: only(1),
	time_embedding_type: only("positional"),
	time_embedding_dim: positive.nullable().default(null),
	time_embedding_act_fn: only(null),
	timestep_post_act: only(null),
	// Of networks distilled with guidance (LCM): they read the guidance scale and need no second, unconditional half.
	time_cond_proj_dim: positive.nullable().default(null),
	conv_in_kernel: only(3),
	conv_out_kernel: only(3),
	projection_class_embeddings_input_dim: only(null),
	attention_type: only("default"),
	class_embeddings_concat: only(false),
	mid_block_only_cross_attention: z.union([z.literal(null), z.literal(false)]).default(null),
	cross_attention_norm: only(null),
	addition_embed_type_num_heads: ignored.optional(),
});

export type UNet2DConditionConfig = z.infer<typeof schema>;

export function parseUNet2DCondition(json: Record<string, unknown>, where: string): UNet2DConditionConfig {
	const config = parseConfig(schema, json, where);
	const levels = config.block_out_channels.length;
	const lists = ["down_block_types", "up_block_types", "layers_per_block", "attention_head_dim", "transformer_layers_per_block"] as const;
	for (const name of lists) {
		const value = config[name];
		requireConfig(!Array.isArray(value) || value.length === levels, where, `${name} with ${levels} entries`, value);
	}
	config.block_out_channels.forEach((channels, level) => {
		const heads = perLevel(config.attention_head_dim, levels)[level];
		const fits = channels % config.norm_num_groups === 0;
		requireConfig(fits, where, `block_out_channels divisible by norm_num_groups = ${config.norm_num_groups}`, channels);
		requireConfig(channels % heads === 0, where, `block_out_channels divisible by the ${heads} heads of their block`, channels);
	});
	return config;
}

const perLevel = (value: number | readonly number[], levels: number): readonly number[] =>
	typeof value === "number" ? Array.from({ length: levels }, () => value) : value;

export interface UNet2DConditionDims extends UNetDims {
	/** Length of the text, in tokens. */
	tokens: number;
}

/**
 * Inputs `sample` `[N, in, h, w]`, `timestep` float32 `[1]` (one for the whole batch) and `encoder_hidden_states` `[N, tokens, dim]`;
 * with `time_cond_proj_dim` also `timestep_cond` `[1, time_cond_proj_dim]`, see `guidanceEmbedding`. Output `out_sample` `[N, out, h, w]`.
 */
export function unet2DCondition(config: UNet2DConditionConfig, weights: Weights, dims: UNet2DConditionDims): Graph {
	const { batch, height, width, tokens } = dims;
	const levels = config.block_out_channels.length;
	const net: Net = { g: graphBuilder({ name: "UNet2DConditionModel" }), weights };
	const { g } = net;
	const sample = g.input("sample", "float", [batch, config.in_channels, height, width]);
	const timestep = g.input("timestep", "float", [1]);
	const states = g.input("encoder_hidden_states", "float", [batch, tokens, config.cross_attention_dim]);
	const context = { value: states, channels: config.cross_attention_dim, tokens };
	const guidance = config.time_cond_proj_dim;
	const condition = guidance === null ? undefined : { value: g.input("timestep_cond", "float", [1, guidance]), channels: guidance };
	const timeChannels = config.time_embedding_dim ?? 4 * config.block_out_channels[0];
	const time = timeEmbedding(net, timestep, {
		channels: config.block_out_channels[0],
		out: timeChannels,
		flipSinToCos: config.flip_sin_to_cos,
		freqShift: config.freq_shift,
		condition,
	});
	// In this class `attention_head_dim` is the number of heads (huggingface/diffusers issue 2011).
	const heads = perLevel(config.attention_head_dim, levels);
	const depth = perLevel(config.transformer_layers_per_block, levels);
	const attend = (level: number): Attend => {
		return (where, name, x) =>
			transformer(where, name, x, {
				heads: heads[level],
				layers: depth[level],
				groups: config.norm_num_groups,
				linearProjection: config.use_linear_projection,
				context,
			});
	};
	const x = unet(
		net,
		{ value: sample, channels: config.in_channels, height, width },
		{
			blockOutChannels: config.block_out_channels,
			layersPerBlock: perLevel(config.layers_per_block, levels),
			outChannels: config.out_channels,
			norm: { groups: config.norm_num_groups, epsilon: config.norm_eps },
			downsamplePadding: config.downsample_padding,
			midScale: config.mid_block_scale_factor,
			time: { value: time, channels: timeChannels },
			down: config.down_block_types.map((type, level) => (type === "CrossAttnDownBlock2D" ? attend(level) : undefined)),
			middle: attend(levels - 1),
			hasMiddle: config.mid_block_type !== null,
			up: config.up_block_types.map((type, i) => (type === "CrossAttnUpBlock2D" ? attend(levels - 1 - i) : undefined)).reverse(),
		},
	);
	g.output(g.op("Identity", [x.value], {}, { name: "out_sample" }), "float", [batch, x.channels, x.height, x.width]);
	return g.build();
}
