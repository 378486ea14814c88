/** @file The conditional UNet as a function: what a noisy sample is predicted to hide. */
import { join } from "node:path";
import type { SessionOptions } from "../../runtime/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { readJson, requireClass } from "./config.ts";
import { guidanceEmbedding } from "./guidance-embedding.ts";
import type { Lora } from "./lora.ts";
import { sizedSessions } from "./sized-sessions.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";
import { openWeights } from "./weights.ts";

export interface Denoiser {
	/** Channels of the sample that goes in. */
	readonly inChannels: number;
	/** Channels of a text's hidden states. */
	readonly contextChannels: number;
	/** Height and width of the samples that it was trained on, or one number for both, if the config says so. */
	readonly sampleSize: number | readonly number[] | null;
	/** Whether the network reads the guidance scale itself (LCM): then no second half without the prompt is needed, whatever the scale. */
	readonly readsGuidance: boolean;
	/** Every file that decides the outputs, but those of LoRA. */
	readonly files: readonly string[];
	/**
	 * Sample `[N, C, H, W]` at timestep `t`, fractional or not (one for the whole batch), texts `[N, tokens, channels]` -> `[N, out, H, W]`.
	 * `guidance` is for networks that read it; 1 if left out.
	 */
	predict(sample: Tensor, t: number, states?: Tensor, guidance?: number): Promise<Tensor>;
	close(): Promise<void>;
}

const timestep = (t: number) => tensor(Float32Array.of(t), [1]);

export interface UNet2DConditionOptions extends SessionOptions {
	/** LoRA files that are merged into the weights. */
	lora?: readonly Lora[];
}

/** Opens a `unet` folder of class UNet2DConditionModel. Sessions are opened at the first sample of each size. */
export async function openUNet2DCondition(folder: string, { lora = [], ...options }: UNet2DConditionOptions = {}): Promise<Denoiser> {
	const where = join(folder, "config.json");
	const json = await readJson(where);
	requireClass(json, ["UNet2DConditionModel"], where);
	const config = parseUNet2DCondition(json, where);
	const weights = await openWeights(folder, "diffusion_pytorch_model", { lora });
	const smallest = 2 ** (config.block_out_channels.length - 1);
	unet2DCondition(config, weights, { batch: 1, height: smallest, width: smallest, tokens: 1 });
	weights.finish();
	const sessions = sizedSessions<Parameters<typeof unet2DCondition>[2]>((dims) => unet2DCondition(config, weights, dims), options);
	return {
		inChannels: config.in_channels,
		sampleSize: config.sample_size,
		contextChannels: config.cross_attention_dim,
		readsGuidance: config.time_cond_proj_dim !== null,
		files: [where, ...weights.files],
		async predict(sample, t, states, guidance = 1) {
			const [batch, , height, width] = sample.dims;
			const session = await sessions.at({ batch, height, width, tokens: states?.dims[1] ?? 0 });
			const feeds = {
				sample,
				timestep: timestep(t),
				...(states ? { encoder_hidden_states: states } : {}),
				...(config.time_cond_proj_dim === null ? {} : { timestep_cond: guidanceEmbedding(guidance, config.time_cond_proj_dim) }),
			};
			return (await session.run(feeds)).out_sample as Tensor;
		},
		async close() {
			await sessions.close();
			await weights.close?.();
		},
	};
}
