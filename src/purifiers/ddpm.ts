/** @file Diffusion purification in pixels: noise that drowns the perturbation, then denoising (Nie et al. 2022; Ankile et al. 2023). */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { composite, fullMask, maskFromBoxes } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import { requireLabel } from "../models/diffusers/image-denoiser.ts";
import { random } from "../tensor/random.ts";
import { bySize } from "./by-size.ts";
import { parseOptions, resampleField } from "./options.ts";
import { type DdpmPipeline, SAMPLERS } from "./pipelines/ddpm.ts";
import type { Purifier } from "./purifier.ts";

/** Timestep of 1,000 up to which noise is added: DiffPure on CIFAR-10 at Linf 8/255; Ankile et al. on 96 x 96 pathology images. */
const PRESETS: Readonly<Record<"diffpure" | "ankile", number>> = { diffpure: 100, ankile: 40 };

export const ddpmSchema = z.strictObject({
	preset: z.enum(["diffpure", "ankile"]).default("diffpure").describe("whose t: diffpure 100, ankile 40"),
	t: z.int().positive().optional().describe("timestep up to which noise is added; default: the preset's"),
	sampler: z
		.enum(SAMPLERS)
		.default("ddpm")
		.describe("ddpm: noise at every step; ddim: deterministic; vp-sde: DiffPure's own; others: docs/schedulers.md"),
	steps: z.int().positive().optional().describe("denoising steps from t down; default: all t"),
	classLabel: z.int().nonnegative().optional().describe("of models with classes: the class that every image is taken for"),
	region: z.enum(["whole", "boxes"]).default("whole").describe("whole image, or inside the boxes only"),
	resample: resampleField.describe("RePaint, with region: boxes; default off; {} for the paper's jumps (docs/diffusion.md)"),
	padding: z.number().nonnegative().default(0).describe("pixels by which every box grows"),
});

export type DdpmOptions = z.input<typeof ddpmSchema>;

/**
 * With `region: "boxes"` every pixel outside the boxes stays as it is. Closing the purifier closes the pipeline. Throws `value` for a class
 * that the pipeline's network does not know, and for none where it needs one.
 */
export function ddpm(pipeline: DdpmPipeline, options: DdpmOptions = {}): Purifier {
	const parsed = parseOptions(ddpmSchema, options, "ddpm");
	const { preset, t = PRESETS[parsed.preset], steps = t, ...settings } = parsed;
	const { sampler, classLabel: label, region, padding, resample } = settings;
	if (resample && region === "whole") {
		throw new KintsugiError("config", {
			where: "ddpm",
			expected: "resample with region: boxes",
			found: "region: whole, where nothing is known",
			fix: "leave resample out, or choose region: boxes",
		});
	}
	requireLabel(pipeline.classes, label, "ddpm, classLabel");
	return {
		name: "ddpm",
		options: { preset, t, steps, ...settings, modelHash: pipeline.hash },
		needsRegions: region === "boxes",
		close: pipeline.close,
		purify: (inputs, { seed, repetition = 0, onProgress, signal }) =>
			bySize(inputs, onProgress, async (group, onStep) => {
				const [, height, width] = group[0].image.dims;
				const masks = group.map(({ regions }) =>
					region === "whole"
						? fullMask({ height, width })
						: maskFromBoxes(
								regions.map((r) => r.box),
								{ height, width },
								{ padding },
							),
				);
				const touched = group.map((_, i) => i).filter((i) => masks[i].data.some((v) => v > 0));
				const jobs = touched.map((i) => ({
					image: group[i].image,
					mask: region === "whole" ? undefined : masks[i],
					random: random(seed, group[i].id, "ddpm", repetition),
				}));
				const denoised = await pipeline.denoise(jobs, { t, steps, sampler, label, resample, onProgress: onStep, signal });
				const images = group.map(({ image }) => quantise(image));
				for (const [n, i] of touched.entries()) images[i] = quantise(composite(images[i], denoised[n], masks[i]));
				return images.map((image, i) => ({ image, mask: masks[i] }));
			}),
	};
}
