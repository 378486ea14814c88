/** @file How a UNet learns what is around the mask: by channels of its own, or by what is put back after every step. */
import { resizeMask } from "../../image/mask.ts";
import type { Autoencoder } from "../../models/diffusers/autoencoder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { joined, padded, rowCopy, toModel } from "./batches.ts";
import type { Known } from "./denoising.ts";

/** Images `[3, H, W]` of one size and their masks `[1, H, W]`. */
export interface Masked {
	image: Tensor;
	mask: Tensor;
}

/** A batch in latents. */
export interface Conditioning {
	/** Channels, height and width of the latents. */
	readonly dims: readonly [number, number, number];
	/** Latents of the images as they are. */
	readonly images: readonly Float32Array[] | undefined;
	/** The UNet's input for job `i`, from its latents. */
	input(latents: Float32Array, i: number): Float32Array;
	readonly known: readonly (Known | undefined)[];
}

/** Makes the conditioning of a batch; `batch` is how many images the autoencoder computes at once. */
export type Condition = (jobs: readonly Masked[], options: { batch: number; fromImage: boolean }) => Promise<Conditioning>;

/** 9 channels: latents, mask, latents of the image without what the mask covers. The images themselves are encoded if `fromImage`. */
export function byChannels(autoencoder: Autoencoder): Condition {
	return async (jobs, { batch, fromImage }) => {
		const cut = jobs.map(({ image, mask }) => toModel(image.data).map((v, p) => (mask.data[p % mask.data.length] < 0.5 ? v : 0)));
		const { dims, latents: masked } = await encode(autoencoder, cut, jobs[0].image.dims, batch);
		const images = fromImage ? (await encode(autoencoder, pixels(jobs), jobs[0].image.dims, batch)).latents : undefined;
		const masks = jobs.map(({ mask }) => latentMask(mask, dims));
		return { dims, images, input: (latents, i) => concatenated(latents, masks[i], masked[i]), known: [] };
	};
}

/** 4 channels: latents alone. What the mask leaves is put back after every step, with noise; under a full mask nothing is. */
export function byBlending(autoencoder: Autoencoder): Condition {
	return async (jobs, { batch }) => {
		const { dims, latents: images } = await encode(autoencoder, pixels(jobs), jobs[0].image.dims, batch);
		const known = jobs.map((job, i) => {
			const mask = latentMask(job.mask, dims);
			return mask.every((v) => v === 1) ? undefined : { clean: images[i], mask };
		});
		return { dims, images, input: (latents) => latents, known };
	};
}

const pixels = (jobs: readonly Masked[]) => jobs.map(({ image }) => toModel(image.data));

async function encode(autoencoder: Autoencoder, rows: readonly Float32Array[], dims: readonly number[], batch: number) {
	const encoded = await autoencoder.encode(joined(padded(rows, batch), dims));
	const [, channels, height, width] = encoded.dims;
	return { dims: [channels, height, width] as const, latents: rows.map((_, i) => rowCopy(encoded, i)) };
}

/** 0 or 1, in the size of the latents. */
function latentMask(mask: Tensor, [, height, width]: readonly [number, number, number]): Float32Array {
	return resizeMask(mask, { height, width }).data.map((v) => (v < 0.5 ? 0 : 1));
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
