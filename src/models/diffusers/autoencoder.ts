/** @file Image <-> latents, whichever autoencoder the folder holds. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { autoencoderKLDecoder, autoencoderKLEncoder, klScale, parseAutoencoderKL } from "./autoencoder-kl.ts";
import {
	type AutoencoderDims,
	autoencoderTinyDecoder,
	autoencoderTinyEncoder,
	parseAutoencoderTiny,
	tinyScale,
} from "./autoencoder-tiny.ts";
import { readJson, requireClass } from "./config.ts";
import { sizedSessions } from "./sized-sessions.ts";
import { openWeights, type Weights } from "./weights.ts";

export interface Autoencoder {
	readonly latentChannels: number;
	/** How many times smaller the latents are than the image. */
	readonly scale: number;
	/** Every file that decides the outputs. */
	readonly files: readonly string[];
	/** `[N, 3, H, W]` in [-1, 1] -> latents `[N, C, H / scale, W / scale]`, times the scaling factor. */
	encode(images: Tensor): Promise<Tensor>;
	/** Latents as `encode` gives them -> `[N, 3, H, W]` about in [-1, 1], not clipped. */
	decode(latents: Tensor): Promise<Tensor>;
	close(): Promise<void>;
}

/** What a class of autoencoder is, to the rest. */
interface Architecture {
	latentChannels: number;
	scale: number;
	/** Latents are multiplied by this after encoding and divided by it before decoding. */
	scalingFactor: number;
	encoder(weights: Weights, dims: AutoencoderDims): Graph;
	decoder(weights: Weights, dims: AutoencoderDims): Graph;
}

/** AutoencoderTiny as an `Architecture`. */
function tiny(json: Record<string, unknown>, where: string): Architecture {
	const config = parseAutoencoderTiny(json, where);
	return {
		latentChannels: config.latent_channels,
		scale: tinyScale(config),
		scalingFactor: config.scaling_factor,
		encoder: (weights, dims) => autoencoderTinyEncoder(config, weights, dims),
		decoder: (weights, dims) => autoencoderTinyDecoder(config, weights, dims),
	};
}

/** AutoencoderKL as an `Architecture`. */
function kl(json: Record<string, unknown>, where: string): Architecture {
	const config = parseAutoencoderKL(json, where);
	return {
		latentChannels: config.latent_channels,
		scale: klScale(config),
		scalingFactor: config.scaling_factor,
		encoder: (weights, dims) => autoencoderKLEncoder(config, weights, dims),
		decoder: (weights, dims) => autoencoderKLDecoder(config, weights, dims),
	};
}

const ARCHITECTURES = { AutoencoderTiny: tiny, AutoencoderKL: kl } as const;

/** Class names that `openAutoencoder` reads. */
export const AUTOENCODERS = Object.keys(ARCHITECTURES) as readonly (keyof typeof ARCHITECTURES)[];

/** Where a folder's autoencoder lies: in the folder itself, or in the `vae` folder in it. */
export const autoencoderIn = (folder: string): string => (existsSync(join(folder, "config.json")) ? folder : join(folder, "vae"));

/**
 * How many times smaller than the image the latents of a folder's autoencoder are, of whatever class: from the length of its list of
 * channels, as diffusers finds it. Undefined without a config.json that has one.
 */
export async function latentScale(folder: string): Promise<number | undefined> {
	const json = await readJson(join(folder, "config.json")).catch(() => undefined);
	const levels = json?.encoder_block_out_channels ?? json?.block_out_channels ?? json?.down_block_out_channels;
	return Array.isArray(levels) ? 2 ** (levels.length - 1) : undefined;
}

/** Opens the `vae` folder of a diffusers pipeline. Sessions are opened at the first image of each size. */
export async function openAutoencoder(folder: string, options: SessionOptions = {}): Promise<Autoencoder> {
	const where = join(folder, "config.json");
	const json = await readJson(where);
	const model = ARCHITECTURES[requireClass(json, AUTOENCODERS, where)](json, where);
	const weights = await openWeights(folder, "diffusion_pytorch_model");
	const smallest = { batch: 1, height: model.scale, width: model.scale };
	model.encoder(weights, smallest);
	model.decoder(weights, smallest);
	weights.finish();
	const encoders = sizedSessions<AutoencoderDims>((dims) => model.encoder(weights, dims), options);
	const decoders = sizedSessions<AutoencoderDims>((dims) => model.decoder(weights, dims), options);

	return {
		latentChannels: model.latentChannels,
		scale: model.scale,
		files: [where, ...weights.files],
		async encode(images) {
			const [batch, , height, width] = images.dims;
			if (height % model.scale !== 0 || width % model.scale !== 0) {
				throw new KintsugiError("shape", {
					where,
					expected: `height and width divisible by ${model.scale}`,
					found: `${height} x ${width}`,
					fix: "choose another canvas size",
				});
			}
			const session = await encoders.at({ batch, height, width });
			const { latents } = await session.run({ sample: images });
			return scaled(latents as Tensor, model.scalingFactor);
		},
		async decode(latents) {
			const [batch, , height, width] = latents.dims;
			const session = await decoders.at({ batch, height: height * model.scale, width: width * model.scale });
			const { sample } = await session.run({ latents: scaled(latents, 1 / model.scalingFactor) });
			return sample as Tensor;
		},
		async close() {
			await encoders.close();
			await decoders.close();
		},
	};
}

const scaled = (t: Tensor, factor: number): Tensor =>
	factor === 1
		? t
		: tensor(
				t.data.map((x) => x * factor),
				t.dims,
			);
