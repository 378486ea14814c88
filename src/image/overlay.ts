/** @file Pictures for people: masks and boxes drawn on an image, amplified perturbations, contact sheets. */
import { assertDims, type Tensor, tensor } from "../tensor/tensor.ts";
import type { Box } from "./geometry.ts";
import { imageDims } from "./rgb.ts";

/** RGB in [0, 1]. */
export type Colour = readonly [number, number, number];

/** Okabe and Ito's colours, which stay apart for colour-blind eyes; regions take them in turn. */
export const PALETTE: readonly Colour[] = [
	[0.902, 0.624, 0],
	[0.337, 0.706, 0.914],
	[0, 0.62, 0.451],
	[0.941, 0.894, 0.259],
	[0, 0.447, 0.698],
	[0.835, 0.369, 0],
	[0.8, 0.475, 0.655],
];

export interface OverlayOptions {
	/** Outlined one pixel wide, in the palette's colours. */
	boxes?: readonly Box[];
	colour?: Colour;
	/** How much of the tint covers the image where the mask is 1. */
	opacity?: number;
}

/** The image `[3, H, W]` with the mask `[1, H, W]` tinted and boxes outlined. */
export function overlayMask(image: Tensor, mask: Tensor, { boxes = [], colour = PALETTE[0], opacity = 0.45 }: OverlayOptions = {}): Tensor {
	const [, height, width] = imageDims("overlayMask", image);
	assertDims("overlayMask: image", image, [3, height, width]);
	assertDims("overlayMask: mask", mask, [1, height, width]);
	const plane = height * width;
	const out = image.data.map((v, i) => {
		const share = opacity * mask.data[i % plane];
		return v * (1 - share) + colour[Math.floor(i / plane)] * share;
	});
	for (const [i, box] of boxes.entries()) outline(out, height, width, box, PALETTE[i % PALETTE.length]);
	return tensor(out, image.dims);
}

function outline(data: Float32Array, height: number, width: number, [x, y, w, h]: Box, colour: Colour): void {
	const inside = (v: number, size: number) => Math.min(size - 1, Math.max(0, v));
	const [left, top] = [inside(Math.floor(x), width), inside(Math.floor(y), height)];
	const [right, bottom] = [inside(Math.ceil(x + w) - 1, width), inside(Math.ceil(y + h) - 1, height)];
	const dot = (px: number, py: number) => {
		for (let c = 0; c < 3; c++) data[(c * height + py) * width + px] = colour[c];
	};
	for (let px = left; px <= right; px++) {
		dot(px, top);
		dot(px, bottom);
	}
	for (let py = top; py <= bottom; py++) {
		dot(left, py);
		dot(right, py);
	}
}

/** `adversarial - clean`, amplified around mid grey and clipped to [0, 1]. */
export function perturbationPicture(clean: Tensor, adversarial: Tensor, { gain = 10 }: { gain?: number } = {}): Tensor {
	assertDims("perturbationPicture", adversarial, clean.dims);
	return tensor(
		clean.data.map((v, i) => Math.min(1, Math.max(0, 0.5 + gain * (adversarial.data[i] - v)))),
		clean.dims,
	);
}

/** Every pixel becomes a square of `factor` x `factor`; `factor` is a whole number. */
export function upscale(image: Tensor, factor: number): Tensor {
	const [channels, height, width] = imageDims("upscale", image);
	const [toHeight, toWidth] = [height * factor, width * factor];
	const out = new Float32Array(channels * toHeight * toWidth);
	for (let row = 0; row < channels * toHeight; row++) {
		const from = Math.floor(row / factor) * width;
		for (let x = 0; x < toWidth; x++) out[row * toWidth + x] = image.data[from + Math.floor(x / factor)];
	}
	return tensor(out, [channels, toHeight, toWidth]);
}

export interface ContactSheetOptions {
	columns: number;
	/** Pixels between the images and around them. */
	gap?: number;
	background?: Colour;
}

/** Images `[3, H, W]` or `[1, H, W]` of one size side by side, row by row, as one `[3, ...]` picture. */
export function contactSheet(images: readonly Tensor[], { columns, gap = 2, background = [1, 1, 1] }: ContactSheetOptions): Tensor {
	const [, height, width] = images.length > 0 ? imageDims("contactSheet", images[0]) : [3, 0, 0];
	const rows = Math.ceil(images.length / columns);
	const [sheetHeight, sheetWidth] = [rows * (height + gap) + gap, columns * (width + gap) + gap];
	const plane = sheetHeight * sheetWidth;
	const out = new Float32Array(3 * plane).map((_, i) => background[Math.floor(i / plane)]);
	for (const [i, image] of images.entries()) {
		assertDims("contactSheet", image, [-1, height, width]);
		const top = gap + Math.floor(i / columns) * (height + gap);
		const left = gap + (i % columns) * (width + gap);
		for (let c = 0; c < 3; c++) {
			const source = image.dims[0] === 1 ? 0 : c * height * width;
			for (let y = 0; y < height; y++) {
				out.set(image.data.subarray(source + y * width, source + (y + 1) * width), c * plane + (top + y) * sheetWidth + left);
			}
		}
	}
	return tensor(out, [3, sheetHeight, sheetWidth]);
}
