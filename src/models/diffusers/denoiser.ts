/** @file The two UNets as functions: what a noisy sample is predicted to hide. */
import { join } from "node:path";
import type { SessionOptions } from "../../runtime/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { readJson } from "./config.ts";
import { sizedSessions } from "./sized-sessions.ts";
import { parseUNet2D, unet2D } from "./unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";
import { openWeights } from "./weights.ts";

export interface Denoiser {
	/** Channels of the sample that goes in. */
	readonly inChannels: number;
	/** Channels of a text's hidden states; 0 for unconditional networks. */
	readonly contextChannels: number;
	/** Every file that decides the outputs. */
	readonly files: readonly string[];
	/** Sample `[N, C, H, W]` at timestep `t`, fractional or not (one for the whole batch), texts `[N, tokens, channels]` -> `[N, out, H, W]`. */
	predict(sample: Tensor, t: number, states?: Tensor): Promise<Tensor>;
	close(): Promise<void>;
}

const timestep = (t: number) => tensor(Float32Array.of(t), [1]);

/** Opens a `unet` folder of class UNet2DConditionModel. Sessions are opened at the first sample of each size. */
export async function openUNet2DCondition(folder: string, options: SessionOptions = {}): Promise<Denoiser> {
	const where = join(folder, "config.json");
	const config = parseUNet2DCondition(await readJson(where), where);
	const weights = await openWeights(folder, "diffusion_pytorch_model");
	const smallest = 2 ** (config.block_out_channels.length - 1);
	unet2DCondition(config, weights, { batch: 1, height: smallest, width: smallest, tokens: 1 });
	weights.finish();
	const sessions = sizedSessions<Parameters<typeof unet2DCondition>[2]>((dims) => unet2DCondition(config, weights, dims), options);
	return {
		inChannels: config.in_channels,
		contextChannels: config.cross_attention_dim,
		files: [where, ...weights.files],
		async predict(sample, t, states) {
			const [batch, , height, width] = sample.dims;
			const session = await sessions.at({ batch, height, width, tokens: states?.dims[1] ?? 0 });
			const feeds = { sample, timestep: timestep(t), ...(states ? { encoder_hidden_states: states } : {}) };
			return (await session.run(feeds)).out_sample as Tensor;
		},
		close: sessions.close,
	};
}

/** Opens a `unet` folder of class UNet2DModel. Sessions are opened at the first sample of each size. */
export async function openUNet2D(folder: string, options: SessionOptions = {}): Promise<Denoiser> {
	const where = join(folder, "config.json");
	const config = parseUNet2D(await readJson(where), where);
	const weights = await openWeights(folder, "diffusion_pytorch_model");
	const smallest = 2 ** (config.block_out_channels.length - 1);
	unet2D(config, weights, { batch: 1, height: smallest, width: smallest });
	weights.finish();
	const sessions = sizedSessions<Parameters<typeof unet2D>[2]>((dims) => unet2D(config, weights, dims), options);
	return {
		inChannels: config.in_channels,
		contextChannels: 0,
		files: [where, ...weights.files],
		async predict(sample, t) {
			const [batch, , height, width] = sample.dims;
			const session = await sessions.at({ batch, height, width });
			return (await session.run({ sample, timestep: timestep(t) })).out_sample as Tensor;
		},
		close: sessions.close,
	};
}
