/** @file Classical filters that stand beside every purifier as controls: JPEG, Gaussian blur, median. */
import sharp from "sharp";
import { KintsugiError } from "../errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { decodeImage } from "./decode.ts";
import { fromRgb, imageDims, quantise, toRgb } from "./rgb.ts";

/** The image `[3, H, W]` after JPEG with this quality (1..100) and halved colour resolution, as most programs write it. */
export async function jpegRoundTrip(image: Tensor, quality = 75): Promise<Tensor> {
	const { data, width, height } = toRgb(image);
	const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
		.jpeg({ quality, chromaSubsampling: "4:2:0" })
		.toBuffer();
	return fromRgb(await decodeImage(bytes, { name: "JPEG round trip", maxPixels: width * height, minSide: 1 }));
}

/** Gaussian blur with this standard deviation in pixels, cut off at 4 sigma, mirrored at the border; rounded to 8 bits. */
export function gaussianBlur(image: Tensor, sigma = 1): Tensor {
	const [channels, height, width] = imageDims("gaussianBlur", image);
	const reach = Math.ceil(4 * sigma);
	const bell = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma)));
	const total = bell.reduce((sum, w) => sum + w, 0);
	const kernel = bell.map((w) => w / total);
	const rows = new Float64Array(image.data.length);
	const out = new Float32Array(image.data.length);
	for (let line = 0; line < channels * height; line++) {
		for (let x = 0; x < width; x++) {
			let sum = 0;
			for (let k = -reach; k <= reach; k++) sum += kernel[k + reach] * image.data[line * width + mirror(x + k, width)];
			rows[line * width + x] = sum;
		}
	}
	for (let c = 0; c < channels; c++) {
		for (let y = 0; y < height; y++) {
			for (let x = 0; x < width; x++) {
				let sum = 0;
				for (let k = -reach; k <= reach; k++) sum += kernel[k + reach] * rows[(c * height + mirror(y + k, height)) * width + x];
				out[(c * height + y) * width + x] = sum;
			}
		}
	}
	return quantise(tensor(out, image.dims));
}

/** Median of the `size` x `size` window of each channel (`size` odd), mirrored at the border. */
export function medianFilter(image: Tensor, size = 3): Tensor {
	if (size % 2 !== 1) {
		throw new KintsugiError("value", {
			where: "medianFilter: size",
			expected: "an odd whole number",
			found: `${size}`,
			fix: "use 3 or 5",
		});
	}
	const [channels, height, width] = imageDims("medianFilter", image);
	const reach = (size - 1) / 2;
	const window = new Float32Array(size * size);
	const out = new Float32Array(image.data.length);
	for (let c = 0; c < channels; c++) {
		for (let y = 0; y < height; y++) {
			for (let x = 0; x < width; x++) {
				let n = 0;
				for (let dy = -reach; dy <= reach; dy++) {
					const row = (c * height + mirror(y + dy, height)) * width;
					for (let dx = -reach; dx <= reach; dx++) window[n++] = image.data[row + mirror(x + dx, width)];
				}
				out[(c * height + y) * width + x] = window.sort()[(window.length - 1) / 2];
			}
		}
	}
	return tensor(out, image.dims);
}

/** d c b a | a b c d | d c b a */
function mirror(i: number, size: number): number {
	const period = 2 * size;
	const at = ((i % period) + period) % period;
	return at < size ? at : period - 1 - at;
}
