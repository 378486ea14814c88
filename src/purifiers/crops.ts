/** @file The surroundings of a mask, painted by themselves and put back: less to paint, or more pixels for a small object. */
import type { Box } from "../image/geometry.ts";
import { maskBox, resizeMask } from "../image/mask.ts";
import { resample } from "../image/resample.ts";
import { fromRgb, type Size, toRgb } from "../image/rgb.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

export interface Crop {
	/** The part of the image, in whole pixels. */
	box: Box;
	/** Size at which it is painted. */
	size: Size;
}

export interface CropOptions {
	/** Pixels around the mask that come along. */
	margin: number;
	/** Size that the model was trained on. */
	resolution: Size | undefined;
	/** Whether crops smaller than that are enlarged to it. */
	enlarge: boolean;
	/** Sides are multiples of this. */
	multiple: number;
}

/** In the model's own size crops have sides of quarters of its resolution, so that few graphs serve all of them. */
const SIDES = 4;

/**
 * A square around what the mask covers, moved inside the image; where the image is too small for it, the square loses what sticks out.
 * An empty mask has the whole image as its surroundings.
 */
export function cropAround(mask: Tensor, { margin, resolution, enlarge, multiple }: CropOptions): Crop {
	const [, height, width] = mask.dims;
	const [x, y, w, h] = maskBox(mask) ?? [0, 0, width, height];
	const coarse = enlarge || !resolution ? multiple : upTo(multiple, Math.max(resolution.height, resolution.width) / SIDES);
	const side = upTo(coarse, Math.max(w, h) + 2 * margin);
	const [cropWidth, cropHeight] = [Math.min(side, width), Math.min(side, height)];
	const box: Box = [startOf(x + w / 2, cropWidth, width), startOf(y + h / 2, cropHeight, height), cropWidth, cropHeight];
	const factor = enlarge && resolution ? Math.max(1, Math.min(resolution.height / cropHeight, resolution.width / cropWidth)) : 1;
	return { box, size: { height: upTo(multiple, Math.floor(cropHeight * factor)), width: upTo(multiple, Math.floor(cropWidth * factor)) } };
}

const upTo = (multiple: number, length: number) => Math.ceil(length / multiple) * multiple;
const startOf = (centre: number, length: number, whole: number) => Math.min(whole - length, Math.max(0, Math.round(centre - length / 2)));

/** The crop of an image `[3, H, W]` of 8-bit pixels and of its mask, in the size at which it is painted. */
export function cut({ image, mask }: { image: Tensor; mask: Tensor }, { box, size }: Crop): { image: Tensor; mask: Tensor } {
	return { image: fromRgb(resample(toRgb(image), size, { box })), mask: resizeMask(part(mask, box), size) };
}

/** The image with the painted crop in its place, in 8-bit pixels. */
export function paste(image: Tensor, painted: Tensor, { box }: Crop): Tensor {
	const [x, y, width, height] = box;
	const small = fromRgb(resample(toRgb(painted), { height, width }));
	const [channels, , imageWidth] = image.dims;
	const data = image.data.slice();
	for (let row = 0; row < channels * height; row++) {
		const at = (Math.floor(row / height) * image.dims[1] + y + (row % height)) * imageWidth + x;
		data.set(small.data.subarray(row * width, (row + 1) * width), at);
	}
	return tensor(data, image.dims);
}

/** The part of a mask `[1, H, W]`. */
function part(mask: Tensor, [x, y, width, height]: Box): Tensor {
	const out = new Float32Array(width * height);
	for (let row = 0; row < height; row++) {
		const from = (y + row) * mask.dims[2] + x;
		out.set(mask.data.subarray(from, from + width), row * width);
	}
	return tensor(out, [1, height, width]);
}
