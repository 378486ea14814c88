/** @file Image to image: a picture painted anew from its own noised latents, as StableDiffusionImg2ImgPipeline of diffusers does it. */
import { fullMask } from "../../image/mask.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { InpaintJob, InpaintOptions, InpaintPipeline } from "./inpaint.ts";

export type ImageToImageJob = Omit<InpaintJob, "mask">;
export type ImageToImageOptions = Omit<InpaintOptions, "start">;

/**
 * Inpainting of everything, which always starts from the noised image: under a full mask nothing is put back.
 * A UNet with 9 channels sees that nothing is known. One image `[3, H, W]` a job, pixels in [0, 1].
 */
export function imageToImage(
	pipeline: InpaintPipeline,
	jobs: readonly ImageToImageJob[],
	options: ImageToImageOptions = {},
): Promise<Tensor[]> {
	const masked = jobs.map((job) => ({ ...job, mask: fullMask({ height: job.image.dims[1], width: job.image.dims[2] }) }));
	return pipeline.inpaint(masked, { ...options, start: "image" });
}
