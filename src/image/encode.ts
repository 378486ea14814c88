/** @file Pixels to lossless 8-bit PNG. */
import { writeFile } from "node:fs/promises";
import sharp from "sharp";
import type { Tensor } from "../tensor/tensor.ts";
import { imageDims, toBytes8, toRgb } from "./rgb.ts";

/** Equal pixels give equal bytes: no time stamp, no text, fixed compression. */
const PNG = { compressionLevel: 6, adaptiveFiltering: false, palette: false } as const;

/** PNG of `[3, H, W]` (RGB) or `[1, H, W]` (grey) in [0, 1]; decoding it gives `quantise(t)` exactly. */
export async function encodePng(t: Tensor): Promise<Uint8Array> {
	const [channels, height, width] = imageDims("encodePng", t);
	const data = channels === 1 ? toBytes8(t) : toRgb(t).data;
	return await sharp(data, { raw: { width, height, channels: channels === 1 ? 1 : 3 } })
		.toColourspace(channels === 1 ? "b-w" : "srgb")
		.png(PNG)
		.toBuffer();
}

/** Writes `encodePng(t)` to a file. */
export const writePng = async (path: string, t: Tensor): Promise<void> => writeFile(path, await encodePng(t));
