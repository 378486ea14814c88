/** @file Text-guided inpainting in latents, as StableDiffusionInpaintPipeline of diffusers does it with UNets of 9 and of 4 channels. */
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { type HashMemo, hashData, hashFile, hashFiles } from "../../hub/hash.ts";
import type { Size } from "../../image/rgb.ts";
import { AUTOENCODERS, type Autoencoder, autoencoderIn, latentScale, openAutoencoder } from "../../models/diffusers/autoencoder.ts";
import { openUNet2DCondition } from "../../models/diffusers/denoiser.ts";
import type { Lora } from "../../models/diffusers/lora.ts";
import { componentClasses } from "../../models/diffusers/pipeline-folder.ts";
import { openTextEncoder } from "../../models/diffusers/text-encoder.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import type { Resampling } from "../../schedulers/resampling.ts";
import { readSchedulerConfig, type Scheduler, type SchedulerName, schedulerFromConfig } from "../../schedulers/scheduler.ts";
import type { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { joined, padded, rowCopy, toPixels } from "./batches.ts";
import { byBlending, byChannels } from "./conditioning.ts";
import { denoise, stepsOf } from "./denoising.ts";
import { guidedPrediction } from "./guidance.ts";
import { type Batch, type RunOptions, runBatches } from "./run-batches.ts";

export interface InpaintJob {
	/** `[3, H, W]`, pixels in [0, 1]. */
	image: Tensor;
	/** `[1, H, W]`, above 0.5 where the image is to be repainted. */
	mask: Tensor;
	prompt: string;
	/** The stream that this job's noise comes from. */
	random: Random;
}

export interface InpaintOptions extends RunOptions {
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
	/** What full strength starts from; below it, every loop starts from the noised image. */
	start?: "noise" | "image";
	/** RePaint, for UNets of 4 channels: back up and down again, so that the painting and what is around it agree. */
	resample?: Resampling | undefined;
}

export interface InpaintPipeline {
	/** sha256 over the files that decide the outputs. */
	readonly hash: string;
	/** Jobs that are computed together. */
	readonly batch: number;
	readonly autoencoder: Autoencoder;
	/** Size of the images that the model was trained on, if its config says so. */
	readonly resolution: Size | undefined;
	/** Denoising steps that `options` lead to. */
	steps(options: InpaintOptions): number;
	/** One painted image `[3, H, W]` a job, pixels in [0, 1]: all of it comes from the decoder, nothing is pasted back. */
	inpaint(jobs: readonly InpaintJob[], options?: InpaintOptions): Promise<Tensor[]>;
	close(): Promise<void>;
}

export interface InpaintPipelineOptions extends SessionOptions {
	batch?: number;
	/** Folder of another autoencoder for the same latents, such as TAESD: with config.json, or with a `vae` folder in it. */
	vae?: string | undefined;
	/** LoRA files that are merged into the UNet and the text encoder. */
	lora?: readonly Lora[];
	/** Layers of the text encoder that are left out at the end (`clip_skip` of diffusers). */
	clipSkip?: number;
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

/**
 * Opens a diffusers folder of an inpainting pipeline, or of a text-to-image pipeline: the UNet's input channels decide how what is
 * outside the mask is held. Throws `config` or `model` for what is missing or not supported.
 */
export async function openInpaintPipeline(
	folder: string,
	{ batch = 1, vae, lora = [], clipSkip = 0, hashing = {}, ...session }: InpaintPipelineOptions = {},
): Promise<InpaintPipeline> {
	await componentClasses(folder, { unet: ["UNet2DConditionModel"], text_encoder: ["CLIPTextModel"] });
	if (vae === undefined) await componentClasses(folder, { vae: AUTOENCODERS });
	const schedulerPath = join(folder, "scheduler", "scheduler_config.json");
	// As in diffusers' pipelines: PNDM's warm-up needs full strength.
	const schedulerJson = { ...(await readSchedulerConfig(schedulerPath)), skip_prk_steps: true };
	// A folder whose scheduler cannot be read is refused at once.
	schedulerFromConfig(schedulerJson, schedulerPath, CLASSES.ddim);
	const unet = await openUNet2DCondition(join(folder, "unet"), { ...session, lora });
	const autoencoderFolder = vae === undefined ? join(folder, "vae") : autoencoderIn(vae);
	const autoencoder = await openAutoencoder(autoencoderFolder, session);
	const textOptions = { ...session, lora, clipSkip };
	const text = await openTextEncoder(join(folder, "text_encoder"), join(folder, "tokenizer"), textOptions);
	const { latentChannels } = autoencoder;
	requireChannels(join(folder, "unet"), unet.inChannels, [2 * latentChannels + 1, latentChannels]);
	if (vae !== undefined) requireScale(autoencoderFolder, autoencoder.scale, await latentScale(join(folder, "vae")));
	const blends = unet.inChannels === latentChannels;
	const condition = blends ? byBlending(autoencoder) : byChannels(autoencoder);
	requireChannels(join(folder, "text_encoder"), text.channels, [unet.contextChannels]);
	const files = [...unet.files, ...(vae === undefined ? autoencoder.files : []), ...text.files, schedulerPath];
	const ownHash = await hashFiles(files, { base: folder, ...hashing });
	const additions = [
		...(vae === undefined ? [] : [await hashFiles(autoencoder.files, { base: autoencoderFolder, ...hashing })]),
		...(await Promise.all(lora.map(async ({ file, scale = 1 }) => ["lora", await hashFile(file, hashing.memo), scale]))),
		...(clipSkip === 0 ? [] : ["clipSkip", clipSkip]),
	];
	const hash = additions.length === 0 ? ownHash : hashData([ownHash, ...additions]);

	const loop = ({ steps = 20, strength = 1, eta = 0, scheduler = "ddim", resample }: InpaintOptions): Scheduler => {
		if (resample && !blends) throw noResampling(join(folder, "unet"));
		return schedulerFromConfig(schedulerJson, schedulerPath, CLASSES[scheduler])({ steps, strength, eta });
	};

	const paint = async ({ jobs, onStep }: Batch<InpaintJob>, scheduler: Scheduler, options: InpaintOptions): Promise<Tensor[]> => {
		const { guidance = 7.5, negativePrompt = "", strength = 1, start = "noise", resample, signal } = options;
		signal?.throwIfAborted();
		const fromImage = strength < 1 || start === "image";
		const { dims, images, input, known } = await condition(jobs, { batch, fromImage });
		const prompts = jobs.map((job) => job.prompt);
		const predict = await guidedPrediction(unet, text, prompts, { guidance, negativePrompt, batch });
		const randoms = jobs.map((job) => job.random);
		const noise = randoms.map((random) => random.normals(dims[0] * dims[1] * dims[2]));
		const latents = await denoise({
			scheduler,
			samples: noise.map((draw, i) =>
				fromImage && images ? scheduler.addNoise(images[i], draw, 0) : draw.map((v) => v * scheduler.initNoiseSigma),
			),
			noise,
			randoms,
			predict: (samples, t) => predict(samples.map(input), t, [unet.inChannels, dims[1], dims[2]]),
			known,
			resample,
			onStep: (step) => onStep(step, dims),
			signal,
		});
		signal?.throwIfAborted();
		const decoded = await autoencoder.decode(joined(padded(latents, batch), dims));
		return jobs.map((job, i) => tensor(toPixels(rowCopy(decoded, i)), job.image.dims));
	};

	return {
		hash,
		batch,
		autoencoder,
		resolution: resolutionOf(unet.sampleSize, autoencoder.scale),
		steps: (options) => stepsOf(loop(options), options.resample),
		async inpaint(jobs, options = {}) {
			const scheduler = loop(options);
			const steps = stepsOf(scheduler, options.resample);
			return runBatches(jobs, { size: batch, steps, run: (group) => paint(group, scheduler, options) }, options);
		},
		async close() {
			await unet.close();
			await autoencoder.close();
			await text.close();
		},
	};
}

function resolutionOf(sampleSize: number | readonly number[] | null, scale: number): Size | undefined {
	if (sampleSize === null) return undefined;
	const [height, width = height] = typeof sampleSize === "number" ? [sampleSize] : sampleSize;
	return { height: height * scale, width: width * scale };
}

function requireChannels(where: string, found: number, expected: readonly number[]): void {
	if (expected.includes(found)) return;
	throw new KintsugiError("config", {
		where,
		expected: `${expected.join(" or ")} channels, so that the parts of the pipeline fit together`,
		found: `${found}`,
		fix: "use the folder of an inpainting or text-to-image pipeline",
	});
}

/** A UNet paints latents of its own autoencoder's scale; `expected` is undefined where that autoencoder is not there. */
function requireScale(where: string, found: number, expected = found): void {
	if (found === expected) return;
	throw new KintsugiError("config", {
		where,
		expected: `an autoencoder whose latents are ${expected} times smaller than the image, as the model's own`,
		found: `${found} times smaller`,
		fix: "use an autoencoder made for the same latents",
	});
}

const noResampling = (where: string) =>
	new KintsugiError("value", {
		where,
		expected: "resample with a UNet of 4 channels only",
		found: "a UNet that is shown the mask and what is around it",
		fix: "leave resample out",
	});
