/** @file AutoencoderTiny (TAESD): convolutions and ReLU, image [-1, 1] <-> latents. */
import { z } from "zod";
import { graphBuilder } from "../../onnx/builder.ts";
import type { Graph } from "../../onnx/graph.ts";
import { ignored, only, parseConfig, perBlock, positive, requireConfig } from "./config.ts";
import { type ConvOptions, conv2d, type Feature, type Net, upsampleNearest } from "./layers.ts";
import type { Weights } from "./weights.ts";

const schema = z.strictObject({
	in_channels: positive.default(3),
	out_channels: positive.default(3),
	encoder_block_out_channels: perBlock.default([64, 64, 64, 64]),
	decoder_block_out_channels: perBlock.default([64, 64, 64, 64]),
	num_encoder_blocks: z.array(z.int().nonnegative()).default([1, 3, 3, 3]),
	num_decoder_blocks: z.array(z.int().nonnegative()).default([3, 3, 3, 1]),
	latent_channels: positive.default(4),
	scaling_factor: z.number().default(1),
	shift_factor: only(0),
	act_fn: only("relu"),
	upsample_fn: only("nearest"),
	upsampling_scaling_factor: only(2),
	block_out_channels: ignored.optional(),
	latent_magnitude: ignored.optional(),
	latent_shift: ignored.optional(),
	force_upcast: ignored.optional(),
});

export type AutoencoderTinyConfig = z.infer<typeof schema>;

export function parseAutoencoderTiny(json: Record<string, unknown>, where: string): AutoencoderTinyConfig {
	const config = parseConfig(schema, json, where);
	for (const side of ["encoder", "decoder"] as const) {
		const channels = config[`${side}_block_out_channels`];
		const blocks = config[`num_${side}_blocks`];
		requireConfig(channels.length === blocks.length, where, `num_${side}_blocks of length ${channels.length}`, blocks);
		// The strided convolution between two stages keeps its number of channels.
		requireConfig(new Set(channels).size === 1, where, `equal ${side}_block_out_channels`, channels);
	}
	return config;
}

export interface AutoencoderDims {
	batch: number | string;
	/** Of the image, in pixels. */
	height: number;
	width: number;
}

/** How many times smaller the latents are than the image. */
export const tinyScale = (config: AutoencoderTinyConfig): number => 2 ** (config.encoder_block_out_channels.length - 1);

/** Image `sample` in [-1, 1] -> `latents` (not yet multiplied by the scaling factor). */
export function autoencoderTinyEncoder(config: AutoencoderTinyConfig, weights: Weights, { batch, height, width }: AutoencoderDims): Graph {
	const net: Net = { g: graphBuilder({ name: "AutoencoderTiny.encoder" }), weights };
	const { g } = net;
	const image = g.input("sample", "float", [batch, config.in_channels, height, width]);
	const unit = g.op("Div", [g.op("Add", [image, g.scalar(1)]), g.scalar(2)]);
	const layers = sequence(net, "encoder", { value: unit, channels: config.in_channels, height, width });
	config.encoder_block_out_channels.forEach((out, stage) => {
		layers.conv(stage === 0 ? { out } : { out, stride: 2, bias: false });
		for (let i = 0; i < config.num_encoder_blocks[stage]; i++) layers.block();
	});
	layers.conv({ out: config.latent_channels });
	const { value, channels, height: h, width: w } = layers.done();
	g.output(g.op("Identity", [value], {}, { name: "latents" }), "float", [batch, channels, h, w]);
	return g.build();
}

/** `latents` (already divided by the scaling factor) -> image `sample` in [-1, 1], not clipped. */
export function autoencoderTinyDecoder(config: AutoencoderTinyConfig, weights: Weights, dims: AutoencoderDims): Graph {
	const net: Net = { g: graphBuilder({ name: "AutoencoderTiny.decoder" }), weights };
	const { g } = net;
	const scale = tinyScale(config);
	const [height, width] = [dims.height / scale, dims.width / scale];
	const latents = g.input("latents", "float", [dims.batch, config.latent_channels, height, width]);
	const bounded = g.op("Mul", [g.op("Tanh", [g.op("Div", [latents, g.scalar(3)])]), g.scalar(3)]);
	const layers = sequence(net, "decoder", { value: bounded, channels: config.latent_channels, height, width });
	layers.conv({ out: config.decoder_block_out_channels[0] });
	layers.relu();
	config.decoder_block_out_channels.forEach((out, stage) => {
		const last = stage === config.decoder_block_out_channels.length - 1;
		for (let i = 0; i < config.num_decoder_blocks[stage]; i++) layers.block();
		if (!last) layers.upsample();
		layers.conv({ out: last ? config.out_channels : out, bias: last });
	});
	const x = layers.done();
	const image = g.op("Sub", [g.op("Mul", [x.value, g.scalar(2)]), g.scalar(1)], {}, { name: "sample" });
	g.output(image, "float", [dims.batch, x.channels, x.height, x.width]);
	return g.build();
}

/** Writes torch.nn.Sequential: every entry takes the next number, whether it has weights or not. */
function sequence(net: Net, side: string, start: Feature) {
	let x = start;
	let next = 0;
	const relu = (value: string) => net.g.op("Relu", [value]);
	return {
		conv(options: ConvOptions) {
			x = conv2d(net, `${side}.layers.${next++}`, x, options);
		},
		relu() {
			next++;
			x = { ...x, value: relu(x.value) };
		},
		upsample() {
			next++;
			x = upsampleNearest(net, x, 2 * x.height, 2 * x.width);
		},
		/** Three convolutions with ReLU between them, the input added, ReLU. */
		block() {
			const name = `${side}.layers.${next++}.conv`;
			const out = x.channels;
			const first = conv2d(net, `${name}.0`, x, { out });
			const second = conv2d(net, `${name}.2`, { ...first, value: relu(first.value) }, { out });
			const third = conv2d(net, `${name}.4`, { ...second, value: relu(second.value) }, { out });
			x = { ...x, value: relu(net.g.op("Add", [third.value, x.value])) };
		},
		done: () => x,
	};
}
