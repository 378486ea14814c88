/** @file Canvases of a batch of images; what cannot be used is named and left out. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { sha256 } from "../../hub/digest.ts";
import type { Canvas } from "../../image/canvas.ts";
import { toRgb } from "../../image/rgb.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Sample } from "../dataset.ts";

/** An image of the source and its place in the data set. */
export interface Planned {
	sample: Sample;
	/** Name of its files without the ending. */
	stem: string;
}

export interface Loaded extends Planned, Canvas {
	sourceHash: string;
	cleanHash: string;
}

export interface Skipped {
	image_id: string;
	source_file: string;
	code: string;
	reason: string;
}

/** The canvas of an image file's bytes. */
export type CanvasLoader = (bytes: Uint8Array, path: string) => Promise<Canvas>;

/** sha256 of an image's RGB bytes, row by row: the same however the file is compressed. */
export const pixelHash = (image: Tensor): string => sha256(toRgb(image).data);

export async function loadImages(planned: readonly Planned[], load: CanvasLoader): Promise<{ images: Loaded[]; skipped: Skipped[] }> {
	const images: Loaded[] = [];
	const skipped: Skipped[] = [];
	for (const { sample, stem } of planned) {
		const source_file = basename(sample.path);
		try {
			const bytes = await readFile(sample.path).catch((cause: Error) => {
				const parts = { where: source_file, expected: "an image file", found: "none that can be read", fix: "check the file" };
				throw new KintsugiError("image", parts, { cause });
			});
			const canvas = await load(bytes, source_file);
			images.push({ sample, stem, ...canvas, sourceHash: sha256(bytes), cleanHash: pixelHash(canvas.canvas) });
		} catch (error) {
			if (!(error instanceof KintsugiError) || error.code !== "image") throw error;
			skipped.push({ image_id: sample.id, source_file, code: error.code, reason: error.parts.found });
		}
	}
	return { images, skipped };
}
