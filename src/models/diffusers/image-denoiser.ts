/** @file UNets that denoise pixels, with or without classes, as functions: what a noisy image is predicted to hide. */
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import type { Graph } from "../../onnx/graph.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { readJson, requireClass } from "./config.ts";
import { guidedDiffusionUNet, guidedStride, parseGuidedDiffusion } from "./guided-diffusion-unet.ts";
import { sizedSessions } from "./sized-sessions.ts";
import type { UNetDims } from "./unet.ts";
import { parseUNet2D, unet2D } from "./unet-2d.ts";
import { openWeights, type Weights } from "./weights.ts";

export interface ImageDenoiser {
	/** Classes that the network was trained with; 0 if without. */
	readonly classes: number;
	/** Every file that decides the outputs. */
	readonly files: readonly string[];
	/**
	 * Sample `[N, 3, H, W]` at timestep `t`, fractional or not (one for the whole batch), and one class for all of it, which networks with
	 * classes need -> `[N, out, H, W]`: out is twice as many where the variance was learned, too.
	 */
	predict(sample: Tensor, t: number, label?: number): Promise<Tensor>;
	close(): Promise<void>;
}

interface Architecture {
	classes: number;
	/** A height and width that the network takes. */
	smallest: number;
	build(weights: Weights, dims: UNetDims): Graph;
}

const ARCHITECTURES = {
	UNet2DModel(json, where) {
		const config = parseUNet2D(json, where);
		return {
			classes: config.num_class_embeds ?? 0,
			smallest: 2 ** (config.block_out_channels.length - 1),
			build: (weights, dims) => unet2D(config, weights, dims),
		};
	},
	GuidedDiffusionUNetModel(json, where) {
		const config = parseGuidedDiffusion(json, where);
		return {
			classes: config.num_classes ?? 0,
			smallest: guidedStride(config),
			build: (weights, dims) => guidedDiffusionUNet(config, weights, dims),
		};
	},
} as const satisfies Readonly<Record<string, (json: Record<string, unknown>, where: string) => Architecture>>;

const CLASSES = Object.keys(ARCHITECTURES) as (keyof typeof ARCHITECTURES)[];

/** Throws `value` unless the label is a class of the network, or there are neither. */
export function requireLabel(classes: number, label: number | undefined, where: string): void {
	if (label === undefined ? classes === 0 : Number.isInteger(label) && label >= 0 && label < classes) return;
	throw new KintsugiError("value", {
		where,
		expected: classes === 0 ? "no class: the network was trained without" : `a class from 0 to ${classes - 1}`,
		found: label === undefined ? "none" : `${label}`,
		fix: classes === 0 ? "leave it out" : "choose a class, or a network that was trained without",
	});
}

/** Opens a folder of class UNet2DModel or GuidedDiffusionUNetModel. Sessions are opened at the first sample of each size. */
export async function openImageDenoiser(folder: string, options: SessionOptions = {}): Promise<ImageDenoiser> {
	const where = join(folder, "config.json");
	const json = await readJson(where);
	const { classes, smallest, build } = ARCHITECTURES[requireClass(json, CLASSES, where)](json, where);
	const weights = await openWeights(folder, "diffusion_pytorch_model");
	build(weights, { batch: 1, height: smallest, width: smallest });
	weights.finish();
	const sessions = sizedSessions<UNetDims & { batch: number }>((dims) => build(weights, dims), options);
	return {
		classes,
		files: [where, ...weights.files],
		async predict(sample, t, label) {
			requireLabel(classes, label, folder);
			const [batch, , height, width] = sample.dims;
			const session = await sessions.at({ batch, height, width });
			const timestep = tensor(Float32Array.of(t), [1]);
			const labels = label === undefined ? {} : { class_labels: tensor(new BigInt64Array(batch).fill(BigInt(label)), [batch], "int64") };
			return (await session.run({ sample, timestep, ...labels })).out_sample as Tensor;
		},
		close: sessions.close,
	};
}
