/** @file Writes a Stable Diffusion pipeline of real size with random weights, as diffusers would save it. */
import { closeSync, copyFileSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { autoencoderKLDecoder, autoencoderKLEncoder, parseAutoencoderKL } from "../src/models/diffusers/autoencoder-kl.ts";
import { autoencoderTinyDecoder, autoencoderTinyEncoder, parseAutoencoderTiny } from "../src/models/diffusers/autoencoder-tiny.ts";
import { clipTextModel, parseClipText } from "../src/models/diffusers/clip-text-model.ts";
import { parseUNet2DCondition, unet2DCondition } from "../src/models/diffusers/unet-2d-condition.ts";
import { random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/tensor.ts";
import { recordedWeights } from "../test/support/recorded-weights.ts";

/** Published values of stabilityai/stable-diffusion-2-inpainting (unet/config.json and so on), where they differ from the classes' defaults. */
const UNET = {
	_class_name: "UNet2DConditionModel",
	sample_size: 64,
	attention_head_dim: [5, 10, 20, 20],
	cross_attention_dim: 1024,
	use_linear_projection: true,
};
const TEXT = {
	architectures: ["CLIPTextModel"],
	model_type: "clip_text_model",
	vocab_size: 49408,
	hidden_size: 1024,
	intermediate_size: 4096,
	num_hidden_layers: 23,
	num_attention_heads: 16,
	max_position_embeddings: 77,
	hidden_act: "gelu",
};
const KL = {
	_class_name: "AutoencoderKL",
	block_out_channels: [128, 256, 512, 512],
	down_block_types: Array.from({ length: 4 }, () => "DownEncoderBlock2D"),
	up_block_types: Array.from({ length: 4 }, () => "UpDecoderBlock2D"),
	layers_per_block: 2,
	latent_channels: 4,
	sample_size: 768,
};
const TAESD = { _class_name: "AutoencoderTiny" };
const SCHEDULER = {
	_class_name: "DDIMScheduler",
	beta_schedule: "scaled_linear",
	beta_start: 0.00085,
	beta_end: 0.012,
	clip_sample: false,
	set_alpha_to_one: false,
	steps_offset: 1,
};

const POOL = 1 << 22;

/** Weights that keep activations at about the same size: normal with deviation 1 / sqrt(fan in), norms 1, biases 0. */
function* values(name: string, dims: readonly number[], pool: Float32Array): Generator<Float32Array> {
	const size = sizeOf(dims);
	const fanIn = dims.slice(1).reduce((a, b) => a * b, 1);
	const scale = dims.length > 1 ? 1 / Math.sqrt(fanIn) : 0;
	const constant = name.endsWith(".weight") && dims.length === 1 ? 1 : 0;
	for (let from = 0; from < size; from += POOL) {
		const length = Math.min(POOL, size - from);
		yield scale === 0 ? new Float32Array(length).fill(constant) : pool.subarray(0, length).map((v) => v * scale);
	}
}

function writeSafetensors(path: string, dims: ReadonlyMap<string, readonly number[]>, seed: number): void {
	const pool = random(seed, path.split("/").at(-2) ?? "").normals(POOL);
	let at = 0;
	const header: Record<string, object> = { __metadata__: { format: "pt" } };
	for (const [name, shape] of dims) {
		const to = at + 4 * sizeOf(shape);
		header[name] = { dtype: "F32", shape, data_offsets: [at, to] };
		at = to;
	}
	const text = Buffer.from(JSON.stringify(header));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(text.length));
	const handle = openSync(path, "w");
	try {
		writeSync(handle, length);
		writeSync(handle, text);
		for (const [name, shape] of dims) for (const part of values(name, shape, pool)) writeSync(handle, part);
	} finally {
		closeSync(handle);
	}
}

const json = (path: string, value: unknown) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

/** Writes AutoencoderTiny at the size of TAESD. */
export function writeTinyAutoencoder(folder: string): void {
	mkdirSync(folder, { recursive: true });
	const config = parseAutoencoderTiny(TAESD, "vae");
	const { weights, dims } = recordedWeights();
	const size = { batch: 1, height: 512, width: 512 };
	autoencoderTinyEncoder(config, weights, size);
	autoencoderTinyDecoder(config, weights, size);
	json(join(folder, "config.json"), TAESD);
	writeSafetensors(join(folder, "diffusion_pytorch_model.safetensors"), dims, 4);
}

/** Writes a pipeline of Stable Diffusion 2's size: with 9 channels for inpainting, with 4 as all others have. */
export function writeCheckpoint(folder: string, channels: 4 | 9): void {
	const parts = ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] as const;
	for (const part of parts) mkdirSync(join(folder, part), { recursive: true });
	const unetJson = { ...UNET, in_channels: channels };
	const unet = recordedWeights();
	unet2DCondition(parseUNet2DCondition(unetJson, "unet"), unet.weights, { batch: 1, height: 64, width: 64, tokens: 77 });
	const vae = recordedWeights();
	const size = { batch: 1, height: 512, width: 512 };
	const config = parseAutoencoderKL(KL, "vae");
	autoencoderKLEncoder(config, vae.weights, size);
	autoencoderKLDecoder(config, vae.weights, size);
	const text = recordedWeights();
	clipTextModel(parseClipText(TEXT, "text_encoder"), text.weights, { batch: 1, tokens: 77 });
	json(join(folder, "unet/config.json"), unetJson);
	json(join(folder, "vae/config.json"), KL);
	json(join(folder, "text_encoder/config.json"), TEXT);
	json(join(folder, "scheduler/scheduler_config.json"), SCHEDULER);
	json(join(folder, "model_index.json"), {
		_class_name: channels === 9 ? "StableDiffusionInpaintPipeline" : "StableDiffusionPipeline",
		scheduler: ["diffusers", "DDIMScheduler"],
		text_encoder: ["transformers", "CLIPTextModel"],
		tokenizer: ["transformers", "CLIPTokenizer"],
		unet: ["diffusers", "UNet2DConditionModel"],
		vae: ["diffusers", "AutoencoderKL"],
	});
	// The words of the bundled tokenizer, at the length of the real one.
	const words = join(import.meta.dirname, "../models/mini-inpaint/tokenizer");
	copyFileSync(join(words, "tokenizer.json"), join(folder, "tokenizer/tokenizer.json"));
	json(join(folder, "tokenizer/tokenizer_config.json"), {
		tokenizer_class: "CLIPTokenizer",
		model_max_length: 77,
		bos_token: "<|startoftext|>",
		eos_token: "<|endoftext|>",
		unk_token: "<|endoftext|>",
		pad_token: "<|endoftext|>",
	});
	writeSafetensors(join(folder, "unet/diffusion_pytorch_model.safetensors"), unet.dims, 1);
	writeSafetensors(join(folder, "vae/diffusion_pytorch_model.safetensors"), vae.dims, 2);
	writeSafetensors(join(folder, "text_encoder/model.safetensors"), text.dims, 3);
}
