/** @file Image tensors as the PNG files of an artifact. */
import { readFile } from "node:fs/promises";
import { KintsugiError } from "../errors.ts";
import { decodeImage } from "../image/decode.ts";
import { encodePng } from "../image/encode.ts";
import { fromRgb } from "../image/rgb.ts";
import { stack, type Tensor, tensor } from "../tensor/tensor.ts";
import type { Artifact } from "./store.ts";

/** File of the picture at a slot of a chunk. */
export const pictureName = (slot: number): string => `${slot}.png`;
/** File of the mask at a slot of a chunk. */
export const maskName = (slot: number): string => `${slot}.mask.png`;

/** PNG files of `[3, H, W]` or `[1, H, W]` tensors in [0, 1], by name. */
export async function pngFiles(pictures: ReadonlyMap<string, Tensor>): Promise<Map<string, Uint8Array>> {
	const files = new Map<string, Uint8Array>();
	for (const [name, picture] of pictures) files.set(name, await encodePng(picture));
	return files;
}

/** One picture of an artifact as `[3, H, W]`. */
export async function readPicture(artifact: Artifact, name: string): Promise<Tensor> {
	const path = artifact.files.get(name);
	if (path === undefined) {
		throw new KintsugiError("artifact", {
			where: `artifact ${artifact.key}`,
			expected: `the file ${name}`,
			found: `only ${[...artifact.files.keys()].join(", ") || "no files"}`,
			fix: "delete the artifact's folder and run the same command again",
		});
	}
	return fromRgb(await decodeImage(await readFile(path), { name: path, minSide: 1, maxPixels: Number.POSITIVE_INFINITY }));
}

/** Pictures at these slots as a batch `[N, 3, H, W]`. */
export async function readPictures(artifact: Artifact, slots: readonly number[]): Promise<Tensor> {
	return stack(await Promise.all(slots.map((slot) => readPicture(artifact, pictureName(slot)))));
}

/** One mask of an artifact as `[1, H, W]`: 1 where the image was allowed to change. */
export async function readMask(artifact: Artifact, slot: number): Promise<Tensor> {
	const { data, dims } = await readPicture(artifact, maskName(slot));
	return tensor(data.slice(0, dims[1] * dims[2]), [1, dims[1], dims[2]]);
}
