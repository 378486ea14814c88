/** @file The 8-bit picture as files hold it, and the way between it and tensors. */
import { KintsugiError } from "../errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Interleaved 8-bit RGB, row by row. */
export interface RgbImage {
	readonly width: number;
	readonly height: number;
	/** `height * width * 3` bytes. */
	readonly data: Uint8Array;
}

/** Height and width in pixels. */
export interface Size {
	readonly height: number;
	readonly width: number;
}

/** Half away from zero, clipped to 0..255; NaN is the caller's fault and is refused. */
function byteOf(value: number): number {
	const scaled = value * 255;
	if (scaled <= 0) return 0;
	if (scaled >= 255) return 255;
	if (Number.isNaN(scaled)) {
		throw new KintsugiError("value", {
			where: "pixels",
			expected: "numbers in [0, 1]",
			found: "NaN",
			fix: "look for the step that divided by zero or overflowed",
		});
	}
	return Math.floor(scaled + 0.5);
}

/** Pixels in [0, 1] as bytes 0..255 in the tensor's own order; values outside are clipped, halves round away from zero. */
export const toBytes8 = (t: Tensor): Uint8Array => Uint8Array.from(t.data, byteOf);

/** Bytes 0..255 as pixels k / 255. */
export const fromBytes8 = (bytes: Uint8Array, dims: readonly number[]): Tensor =>
	tensor(
		Float32Array.from(bytes, (b) => b / 255),
		dims,
	);

/** The nearest image that an 8-bit file can hold; any dims. */
export const quantise = (t: Tensor): Tensor =>
	tensor(
		Float32Array.from(t.data, (v) => byteOf(v) / 255),
		t.dims,
	);

/** `[3, H, W]` in [0, 1] -> interleaved bytes. A `[1, H, W]` tensor becomes grey. */
export function toRgb(t: Tensor): RgbImage {
	const [channels, height, width] = imageDims("toRgb", t);
	const plane = height * width;
	const data = new Uint8Array(plane * 3);
	for (let c = 0; c < 3; c++) {
		const start = channels === 1 ? 0 : c * plane;
		for (let i = 0; i < plane; i++) data[i * 3 + c] = byteOf(t.data[start + i]);
	}
	return { width, height, data };
}

/** Interleaved bytes -> `[3, H, W]` in [0, 1]. */
export function fromRgb({ width, height, data }: RgbImage): Tensor {
	const plane = height * width;
	const out = new Float32Array(plane * 3);
	for (let i = 0; i < plane; i++) {
		out[i] = data[i * 3] / 255;
		out[plane + i] = data[i * 3 + 1] / 255;
		out[2 * plane + i] = data[i * 3 + 2] / 255;
	}
	return tensor(out, [3, height, width]);
}

/** Channels (1 or 3), height and width of one picture; throws `shape` for anything else. */
export function imageDims(where: string, t: Tensor): [channels: number, height: number, width: number] {
	const [channels, height, width] = t.dims;
	if (t.dims.length !== 3 || (channels !== 1 && channels !== 3)) {
		throw new KintsugiError("shape", {
			where,
			expected: "dims [3, H, W] or [1, H, W]",
			found: `[${t.dims.join(", ")}]`,
			fix: "pass one image, not a batch",
		});
	}
	return [channels, height, width];
}
