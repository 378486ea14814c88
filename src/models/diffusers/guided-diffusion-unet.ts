/** @file The UNet of OpenAI's guided-diffusion (Dhariwal and Nichol 2021, arXiv:2105.05233), the prior of DiffPure. */
import { z } from "zod";
import { KintsugiError } from "../../errors.ts";
import { graphBuilder } from "../../onnx/builder.ts";
import type { Graph } from "../../onnx/graph.ts";
import { selfAttention } from "./blocks.ts";
import { ignored, parseConfig, positive, requireConfig } from "./config.ts";
import { type GuidedLayout, guidedWeights } from "./guided-diffusion-names.ts";
import type { Net } from "./layers.ts";
import { timeEmbedding } from "./time-embedding.ts";
import { type Attend, type UNetDims, unet } from "./unet.ts";
import { classInput } from "./unet-2d.ts";
import type { Weights } from "./weights.ts";

/** Numbers with commas between them, as on guided-diffusion's command line, or a list. */
const numbers = z.union([
	z.array(z.number().positive()),
	z
		.string()
		.regex(/^(\d+(,\d+)*)?$/, "whole numbers with commas between them")
		.transform((text) => text.split(",").filter(Boolean).map(Number)),
]);
const orDefault = z.union([z.literal(-1), positive]).default(-1);

/** The flags of the published models, with the defaults of the scripts that read them. */
const schema = z.strictObject({
	image_size: positive.default(64),
	num_channels: positive.default(128),
	num_res_blocks: positive.default(2),
	/** Of each level, times `num_channels`; left out or empty: by `image_size`. */
	channel_mult: numbers.default([]),
	/** Sizes of the map, in an image of `image_size`, at which there is attention. */
	attention_resolutions: numbers.default([16, 8]),
	num_heads: positive.default(4),
	/** On the way up; -1: as `num_heads`. */
	num_heads_upsample: orDefault,
	/** Instead of a number of heads, unless -1. */
	num_head_channels: orDefault,
	use_new_attention_order: z.boolean().default(false),
	use_scale_shift_norm: z.boolean().default(true),
	resblock_updown: z.boolean().default(false),
	learn_sigma: z.boolean().default(false),
	class_cond: z.boolean().default(false),
	num_classes: positive.default(1000),
	dropout: ignored.optional(),
	use_checkpoint: ignored.optional(),
	use_fp16: ignored.optional(),
});

type Flags = z.infer<typeof schema>;

export interface GuidedDiffusionConfig extends Omit<Flags, "num_classes"> {
	/** Null for networks without classes. */
	num_classes: number | null;
}

const CHANNEL_MULT: Readonly<Record<number, readonly number[]>> = {
	512: [0.5, 1, 1, 2, 2, 4, 4],
	256: [1, 1, 2, 2, 4, 4],
	128: [1, 1, 2, 3, 4],
	64: [1, 2, 3, 4],
};

/** GroupNorm of every published model. */
const NORM = { groups: 32, epsilon: 1e-5 };

export function parseGuidedDiffusion(json: Record<string, unknown>, where: string): GuidedDiffusionConfig {
	const flags = parseConfig(schema, json, where);
	const mult = flags.channel_mult.length > 0 ? flags.channel_mult : (CHANNEL_MULT[flags.image_size] ?? []);
	requireConfig(mult.length > 0, where, `channel_mult, as image_size is none of ${Object.keys(CHANNEL_MULT).join(", ")}`, flags.image_size);
	const config = { ...flags, channel_mult: [...mult], num_classes: flags.class_cond ? flags.num_classes : null };
	const { channels, attends } = levelsOf(config);
	channels.forEach((width, level) => {
		requireConfig(width % NORM.groups === 0, where, `channels of every level divisible by ${NORM.groups}`, width);
		if (!attends[level] && level < channels.length - 1) return;
		for (const way of ["down", "up"] as const) {
			const fits = width % headsOf(config, width, way) === 0 && width % Math.max(config.num_head_channels, 1) === 0;
			requireConfig(fits, where, "channels of levels with attention divisible into heads", width);
		}
	});
	return config;
}

function levelsOf(config: GuidedDiffusionConfig) {
	const strides = config.attention_resolutions.map((size) => Math.floor(config.image_size / size));
	return {
		channels: config.channel_mult.map((mult) => Math.floor(mult * config.num_channels)),
		attends: config.channel_mult.map((_, level) => strides.includes(2 ** level)),
	};
}

function headsOf(
	{ num_heads, num_heads_upsample, num_head_channels }: GuidedDiffusionConfig,
	channels: number,
	way: "down" | "up",
): number {
	if (num_head_channels !== -1) return Math.floor(channels / num_head_channels);
	return way === "up" && num_heads_upsample !== -1 ? num_heads_upsample : num_heads;
}

/** The side of the image that one place of the innermost map stands for. */
export const guidedStride = ({ channel_mult }: GuidedDiffusionConfig): number => 2 ** (channel_mult.length - 1);

/**
 * Inputs `sample` `[N, 3, h, w]` in [-1, 1], `timestep` float32 `[1]` (one for the whole batch) and, with `class_cond`, `class_labels`
 * int64 `[N]`; output `out_sample` `[N, 3, h, w]`, with `learn_sigma` `[N, 6, h, w]`: the noise, then where its variance lies between
 * the smallest and the largest (-1 to 1). Throws `value` for heights and widths that do not halve evenly.
 */
export function guidedDiffusionUNet(config: GuidedDiffusionConfig, weights: Weights, { batch, height, width }: UNetDims): Graph {
	const stride = guidedStride(config);
	if (height % stride !== 0 || width % stride !== 0) {
		throw new KintsugiError("value", {
			where: "GuidedDiffusionUNetModel",
			expected: `a height and a width that ${stride} divides`,
			found: `${height} x ${width}`,
			fix: "resize or crop the image",
		});
	}
	const { channels, attends } = levelsOf(config);
	const layout: GuidedLayout = {
		resnets: config.num_res_blocks,
		attends,
		heads: (width, way) => headsOf(config, width, way),
		partsFirst: config.use_new_attention_order,
	};
	const net: Net = { g: graphBuilder({ name: "GuidedDiffusionUNetModel" }), weights: guidedWeights(weights, layout) };
	const { g } = net;
	const sample = g.input("sample", "float", [batch, 3, height, width]);
	const timestep = g.input("timestep", "float", [1]);
	const timeChannels = 4 * config.num_channels;
	const time = timeEmbedding(net, timestep, {
		channels: config.num_channels,
		out: timeChannels,
		flipSinToCos: true,
		freqShift: 0,
		classes: classInput(net, config.num_classes, batch),
	});
	const attend =
		(way: "down" | "up"): Attend =>
		(where, name, x) =>
			selfAttention(where, name, x, { norm: NORM, headDim: x.channels / headsOf(config, x.channels, way) });
	const byResnet = channels.map(() => config.resblock_updown);
	const x = unet(
		net,
		{ value: sample, channels: 3, height, width },
		{
			blockOutChannels: channels,
			layersPerBlock: channels.map(() => config.num_res_blocks),
			outChannels: config.learn_sigma ? 6 : 3,
			norm: NORM,
			downsamplePadding: 1,
			midScale: 1,
			time: { value: time, channels: timeChannels },
			scaleShift: config.use_scale_shift_norm,
			resnetDown: byResnet,
			resnetUp: byResnet,
			down: attends.map((has) => (has ? attend("down") : undefined)),
			middle: attend("down"),
			up: attends.map((has) => (has ? attend("up") : undefined)),
		},
	);
	g.output(g.op("Identity", [x.value], {}, { name: "out_sample" }), "float", [batch, x.channels, x.height, x.width]);
	return g.build();
}
