/** @file A file of any size becomes a canvas: the picture that is attacked, saved and purified. */
import type { Tensor } from "../tensor/tensor.ts";
import { type Mapping, stretch } from "./geometry.ts";
import { type Filter, resample } from "./resample.ts";
import { fromRgb, type RgbImage, type Size } from "./rgb.ts";

/**
 * - `stretch`: the whole file on the whole canvas, the aspect ratio changes;
 * - `crop`: the largest part around the centre with the canvas's aspect ratio;
 * - `letterbox`: the whole file with its own aspect ratio, the rest filled.
 */
export type CanvasPolicy = "stretch" | "crop" | "letterbox";

export interface CanvasOptions extends Size {
	policy?: CanvasPolicy;
	filter?: Filter;
	/** Colour of the bars of `letterbox`: RGB, 0..255. YOLOX and YOLOv5 use 114. */
	fill?: readonly [number, number, number];
	/** Where `letterbox` puts the picture: YOLOX at the top left (`start`), most others in the centre. */
	align?: "center" | "start";
}

export interface Canvas {
	/** `[3, height, width]`, pixels k / 255. */
	readonly canvas: Tensor;
	/** From the file's pixels to the canvas's; `inverse(mapping)` leads back. */
	readonly mapping: Mapping;
}

/** Puts a picture on a canvas. A file of the canvas's size passes through bit by bit, whatever the policy. */
export function toCanvas(
	image: RgbImage,
	{ height, width, policy = "stretch", filter = "bicubic", fill = [114, 114, 114], align = "center" }: CanvasOptions,
): Canvas {
	const from = { height: image.height, width: image.width };
	const to = { height, width };
	if (policy === "letterbox") {
		const { inner, top, left } = letterbox(from, to, align);
		const { data } = resample(image, inner, { filter });
		const { scaleX, scaleY } = stretch(from, inner);
		return {
			canvas: fromRgb(paste(data, inner, to, top, left, fill)),
			mapping: { from, to, scaleX, scaleY, offsetX: left, offsetY: top },
		};
	}
	if (policy === "stretch") return { canvas: fromRgb(resample(image, to, { filter })), mapping: stretch(from, to) };

	const scale = Math.max(width / from.width, height / from.height);
	const shownWidth = Math.min(from.width, width / scale);
	const shownHeight = Math.min(from.height, height / scale);
	const x = (from.width - shownWidth) / 2;
	const y = (from.height - shownHeight) / 2;
	const [scaleX, scaleY] = [width / shownWidth, height / shownHeight];
	return {
		canvas: fromRgb(resample(image, to, { filter, box: [x, y, shownWidth, shownHeight] })),
		mapping: { from, to, scaleX, scaleY, offsetX: -x * scaleX, offsetY: -y * scaleY },
	};
}

export interface Letterbox {
	/** Size of the picture between the bars. */
	inner: Size;
	top: number;
	left: number;
}

/** The largest size with the aspect ratio of `from` that fits into `to` (sides cut down to whole pixels, as YOLOX does), and its place. */
export function letterbox(from: Size, to: Size, align: "center" | "start" = "center"): Letterbox {
	const scale = Math.min(to.width / from.width, to.height / from.height);
	// A product such as 426.99999999999994 means 427.
	const side = (length: number) => Math.max(1, Math.floor(length * scale + 1e-9));
	const inner = { height: side(from.height), width: side(from.width) };
	const bar = (outer: number, used: number) => (align === "center" ? Math.floor((outer - used) / 2) : 0);
	return { inner, top: bar(to.height, inner.height), left: bar(to.width, inner.width) };
}

function paste(data: Uint8Array, inner: Size, to: Size, top: number, left: number, fill: readonly [number, number, number]): RgbImage {
	const out = Uint8Array.from({ length: to.height * to.width * 3 }, (_, i) => fill[i % 3]);
	for (let y = 0; y < inner.height; y++) {
		out.set(data.subarray(y * inner.width * 3, (y + 1) * inner.width * 3), ((top + y) * to.width + left) * 3);
	}
	return { ...to, data: out };
}
