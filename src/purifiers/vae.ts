/** @file Control: what the autoencoder alone does to an image, without any diffusion. */
import { z } from "zod";
import { fullMask } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import type { Autoencoder } from "../models/diffusers/autoencoder.ts";
import { tensor } from "../tensor/tensor.ts";
import { eachImage } from "./each-image.ts";
import { toModel, toPixels } from "./pipelines/batches.ts";
import type { Purifier } from "./purifier.ts";

export const vaeSchema = z.strictObject({});

/** Encodes and decodes. `modelHash` names the autoencoder in the options; closing the purifier closes it. */
export function vae(autoencoder: Autoencoder, { modelHash }: { modelHash: string }): Purifier {
	return eachImage(
		"vae",
		{ modelHash },
		{
			close: autoencoder.close,
			async change(image) {
				const dims = [1, ...image.dims];
				const decoded = await autoencoder.decode(await autoencoder.encode(tensor(toModel(image.data), dims)));
				const [, height, width] = image.dims;
				return { image: quantise(tensor(toPixels(decoded.data), image.dims)), mask: fullMask({ height, width }) };
			},
		},
	);
}
