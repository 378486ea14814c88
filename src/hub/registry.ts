/** @file The models that come with the package. */

export type Task = "zero-shot classification" | "object detection" | "inpainting" | "unconditional denoising" | "latent autoencoder";

export interface BundledModel {
	readonly name: string;
	readonly task: Task;
	/** Names of the architecture as transformers and diffusers spell them. */
	readonly architecture: string;
	readonly summary: string;
	readonly licence: string;
	/** Folder and model card, relative to the package. */
	readonly folder: string;
	readonly card: string;
}

const bundled = (name: string, task: Task, architecture: string, summary: string): BundledModel => ({
	name,
	task,
	architecture,
	summary,
	licence: "Apache-2.0",
	folder: `models/${name}`,
	card: `models/${name}/README.md`,
});

/** In the order in which an image meets them. */
export const BUNDLED_MODELS: readonly BundledModel[] = [
	bundled("mini-clip", "zero-shot classification", "CLIPModel", "which of the labels an image shows"),
	bundled("mini-yolos", "object detection", "YolosForObjectDetection", "where the objects stand"),
	bundled("mini-inpaint", "inpainting", "StableDiffusionInpaintPipeline", "repaints a masked region from a prompt"),
	bundled("mini-ddpm", "unconditional denoising", "DDPMPipeline", "removes noise from a whole image"),
	bundled("mini-taesd", "latent autoencoder", "AutoencoderTiny", "a smaller autoencoder for mini-inpaint"),
];

/** Measured quality of one bundled model, as `models/quality.json` has it under the model's name. */
export interface ModelQuality {
	/** Number of weights. */
	readonly parameters?: number;
	/** What was measured on, e.g. "500 fresh scenes". */
	readonly on?: string;
	/** Name of the measure -> value, e.g. { "P@1": 0.95 }. */
	readonly measured?: Readonly<Record<string, number>>;
}
