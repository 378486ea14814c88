/** @file Text-guided inpainting in latents, as StableDiffusionInpaintPipeline of diffusers does it with a 9-channel UNet. */
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { type HashMemo, hashFiles } from "../../hub/hash.ts";
import { AUTOENCODERS, type Autoencoder, openAutoencoder } from "../../models/diffusers/autoencoder.ts";
import { openUNet2DCondition } from "../../models/diffusers/denoiser.ts";
import { componentClasses } from "../../models/diffusers/pipeline-folder.ts";
import { openTextEncoder, type TextEncoder } from "../../models/diffusers/text-encoder.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import { readSchedulerConfig, type Scheduler, type SchedulerName, schedulerFromConfig } from "../../schedulers/scheduler.ts";
import type { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { groups, joined, padded, rowCopy, toModel, toPixels } from "./batches.ts";

export interface InpaintJob {
	/** `[3, H, W]`, pixels in [0, 1]. */
	image: Tensor;
	/** `[1, H, W]`, above 0.5 where the image is to be repainted. */
	mask: Tensor;
	prompt: string;
	/** The stream that this job's noise comes from. */
	random: Random;
}

export interface InpaintOptions {
	steps?: number;
	/** 1 starts from pure noise; below that, from the noised image, with the last `strength * steps` steps. */
	strength?: number;
	/** Weight of the prompt against the negative prompt; 1 and below run without guidance, at half the cost. */
	guidance?: number;
	negativePrompt?: string;
	/** `model`: the one that the folder's scheduler_config.json names. */
	scheduler?: InpaintScheduler;
	/** Noise of DDIM's steps: 0 is deterministic. */
	eta?: number;
	/** Called after every denoising step, with the share of the work done. */
	onProgress?: ((done: number) => void) | undefined;
	signal?: AbortSignal | undefined;
}

export interface InpaintPipeline {
	/** sha256 over the files that decide the outputs. */
	readonly hash: string;
	/** Jobs that are computed together. */
	readonly batch: number;
	readonly autoencoder: Autoencoder;
	/** Denoising steps that `options` lead to. */
	steps(options: InpaintOptions): number;
	/** One painted image `[3, H, W]` a job, pixels in [0, 1]: all of it comes from the decoder, nothing is pasted back. */
	inpaint(jobs: readonly InpaintJob[], options?: InpaintOptions): Promise<Tensor[]>;
	close(): Promise<void>;
}

export interface InpaintPipelineOptions extends SessionOptions {
	batch?: number;
	/** Hashes that are known already. */
	hashing?: { memo?: HashMemo };
}

const CLASSES = {
	ddim: "DDIMScheduler",
	model: undefined,
	ddpm: "DDPMScheduler",
	pndm: "PNDMScheduler",
	euler: "EulerDiscreteScheduler",
	"euler-ancestral": "EulerAncestralDiscreteScheduler",
	"dpm-solver": "DPMSolverMultistepScheduler",
	lcm: "LCMScheduler",
} as const satisfies Readonly<Record<string, SchedulerName | undefined>>;

export type InpaintScheduler = keyof typeof CLASSES;

export const INPAINT_SCHEDULERS = Object.keys(CLASSES) as [InpaintScheduler, ...InpaintScheduler[]];

/** Opens a diffusers folder of an inpainting pipeline. Throws `config` or `model` for what is missing or not supported. */
export async function openInpaintPipeline(
	folder: string,
	{ batch = 1, hashing = {}, ...session }: InpaintPipelineOptions = {},
): Promise<InpaintPipeline> {
	await componentClasses(folder, {
		unet: ["UNet2DConditionModel"],
		vae: AUTOENCODERS,
		text_encoder: ["CLIPTextModel"],
	});
	const schedulerPath = join(folder, "scheduler", "scheduler_config.json");
	// As in diffusers' pipelines: PNDM's warm-up needs full strength.
	const schedulerJson = { ...(await readSchedulerConfig(schedulerPath)), skip_prk_steps: true };
	// A folder whose scheduler cannot be read is refused at once.
	schedulerFromConfig(schedulerJson, schedulerPath, CLASSES.ddim);
	const unet = await openUNet2DCondition(join(folder, "unet"), session);
	const autoencoder = await openAutoencoder(join(folder, "vae"), session);
	const text = await openTextEncoder(join(folder, "text_encoder"), join(folder, "tokenizer"), session);
	requireChannels(join(folder, "unet"), unet.inChannels, 2 * autoencoder.latentChannels + 1);
	requireChannels(join(folder, "text_encoder"), text.channels, unet.contextChannels);
	const hash = await hashFiles([...unet.files, ...autoencoder.files, ...text.files, schedulerPath], { base: folder, ...hashing });

	const loop = ({ steps = 20, strength = 1, eta = 0, scheduler = "ddim" }: InpaintOptions): Scheduler =>
		schedulerFromConfig(schedulerJson, schedulerPath, CLASSES[scheduler])({ steps, strength, eta });

	return {
		hash,
		batch,
		autoencoder,
		steps: (options) => loop(options).timesteps.length,
		async inpaint(jobs, options = {}) {
			const { guidance = 7.5, negativePrompt = "", strength = 1, onProgress, signal } = options;
			const sampler = loop(options);
			const { timesteps } = sampler;
			const batches = groups(jobs, batch);
			const total = batches.length * timesteps.length;
			const painted: Tensor[] = [];
			for (const [n, group] of batches.entries()) {
				const slots = padded(group, batch);
				const inputs = await conditions(slots, autoencoder, strength < 1);
				const guided = guidance > 1;
				const states = await textStates(text, [...(guided ? slots.map(() => negativePrompt) : []), ...slots.map((job) => job.prompt)]);
				// A repeated job must not draw from its stream again.
				const noises = group.map((job) => job.random.normals(inputs.size));
				let latents = padded(noises, batch).map((noise, i) =>
					inputs.image ? sampler.addNoise(inputs.image[i], noise, 0) : noise.map((v) => v * sampler.initNoiseSigma),
				);
				const loops = latents.map(() => sampler.start());
				for (const [s, t] of timesteps.entries()) {
					signal?.throwIfAborted();
					const rows = latents.map((latent, i) => concatenated(sampler.scaleModelInput(latent, s), inputs.mask[i], inputs.masked[i]));
					const sample = joined(guided ? [...rows, ...rows] : rows, [unet.inChannels, inputs.height, inputs.width]);
					const output = await unet.predict(sample, t, states);
					const draws = sampler.needsNoise(s)
						? padded(
								group.map((job) => job.random.normals(inputs.size)),
								batch,
							)
						: [];
					latents = latents.map((latent, i) => {
						const prediction = guided ? guide(output, i, batch, guidance) : rowCopy(output, i);
						return loops[i](prediction, latent, draws[i]);
					});
					onProgress?.((n * timesteps.length + s + 1) / total);
				}
				const images = await autoencoder.decode(joined(latents, [autoencoder.latentChannels, inputs.height, inputs.width]));
				painted.push(...group.map((job, i) => tensor(toPixels(rowCopy(images, i)), job.image.dims)));
			}
			return painted;
		},
		async close() {
			await unet.close();
			await autoencoder.close();
			await text.close();
		},
	};
}

function requireChannels(where: string, found: number, expected: number): void {
	if (found === expected) return;
	throw new KintsugiError("config", {
		where,
		expected: `${expected} channels, so that the parts of the inpainting pipeline fit together`,
		found: `${found}`,
		fix: "use the folder of an inpainting pipeline",
	});
}

/** The latents of the image with the mask cut out, the mask in latent size, and (below full strength) the latents of the image. */
async function conditions(jobs: readonly InpaintJob[], autoencoder: Autoencoder, withImage: boolean) {
	const { dims } = jobs[0].image;
	const [, height, width] = dims;
	const images = jobs.map((job) => toModel(job.image.data));
	const cut = images.map((image, i) => {
		const mask = jobs[i].mask.data;
		return image.map((v, p) => (mask[p % mask.length] < 0.5 ? v : 0));
	});
	const masked = await autoencoder.encode(joined(cut, dims));
	const image = withImage ? await autoencoder.encode(joined(images, dims)) : undefined;
	const [, channels, h, w] = masked.dims;
	const rows = jobs.map((_, i) => i);
	return {
		height: h,
		width: w,
		size: channels * h * w,
		masked: rows.map((i) => rowCopy(masked, i)),
		image: image ? rows.map((i) => rowCopy(image, i)) : undefined,
		mask: jobs.map((job) => shrunk(job.mask.data, height, width, h, w)),
	};
}

/** The mask in latent size by nearest neighbour, as torch.nn.functional.interpolate: the pixel at the top left of each cell. */
function shrunk(mask: Float32Array, height: number, width: number, h: number, w: number): Float32Array {
	return Float32Array.from({ length: h * w }, (_, i) => {
		const y = Math.floor((Math.floor(i / w) * height) / h);
		const x = Math.floor(((i % w) * width) / w);
		return mask[y * width + x] < 0.5 ? 0 : 1;
	});
}

async function textStates(text: TextEncoder, prompts: readonly string[]): Promise<Tensor> {
	const states = await Promise.all(prompts.map((prompt) => text.encode(prompt)));
	return joined(
		states.map((state) => state.data),
		[text.tokens, text.channels],
	);
}

function concatenated(...parts: readonly Float32Array[]): Float32Array {
	const out = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

/** Classifier-free guidance (Ho and Salimans 2022): rows 0..n-1 hold the negative prompt, rows n..2n-1 the prompt. */
function guide(output: Tensor, i: number, n: number, scale: number): Float32Array {
	const without = rowCopy(output, i);
	const withPrompt = rowCopy(output, n + i);
	return without.map((u, p) => u + scale * (withPrompt[p] - u));
}
