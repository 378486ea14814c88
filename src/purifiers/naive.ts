/** @file The paper's baseline: the whole image through the diffusion model, without a mask and without knowing what is in it. */
import { z } from "zod";
import { fullMask } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import { random } from "../tensor/random.ts";
import { bySize } from "./by-size.ts";
import { guidedFields, parseOptions } from "./options.ts";
import { imageToImage } from "./pipelines/image-to-image.ts";
import type { InpaintPipeline } from "./pipelines/inpaint.ts";
import type { Purifier } from "./purifier.ts";

export const naiveSchema = z.strictObject({
	...guidedFields,
	strength: guidedFields.strength.default(0.5),
	prompt: z.string().default("").describe("one prompt for every image"),
});

export type NaiveOptions = z.input<typeof naiveSchema>;

/** Image to image with everything masked: all that is left of the input is what its noised latents carry. Closing it closes the pipeline. */
export function naive(pipeline: InpaintPipeline, options: NaiveOptions = {}): Purifier {
	const settings = parseOptions(naiveSchema, options, "naive");
	return {
		name: "naive",
		options: { ...settings, modelHash: pipeline.hash },
		needsRegions: false,
		close: pipeline.close,
		purify: (inputs, { seed, repetition = 0, onProgress, signal }) =>
			bySize(inputs, onProgress, async (group, onStep) => {
				const [, height, width] = group[0].image.dims;
				const mask = fullMask({ height, width });
				const jobs = group.map(({ id, image }) => ({
					image,
					prompt: settings.prompt,
					random: random(seed, id, "naive", repetition),
				}));
				const painted = await imageToImage(pipeline, jobs, { ...settings, onProgress: onStep, signal });
				return painted.map((image) => ({ image: quantise(image), mask }));
			}),
	};
}
