/** @file Crops around masks: where they lie, and that cutting and pasting loses nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fullMask, maskBox, maskFromBoxes } from "../image/mask.ts";
import { quantise } from "../image/rgb.ts";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { type CropOptions, cropAround, cut, paste } from "./crops.ts";

const options: CropOptions = { margin: 4, resolution: { height: 32, width: 32 }, enlarge: true, multiple: 4 };
const mask = (x: number, y: number, w: number, h: number, height = 64, width = 64) => maskFromBoxes([[x, y, w, h]], { height, width });
const picture = (height: number, width: number) => quantise(tensor(random(1).uniforms(3 * height * width), [3, height, width]));

describe("cropAround", () => {
	test("a square around the mask with its margin, enlarged to the model's resolution", () => {
		expect(cropAround(mask(20, 24, 8, 4), options)).toEqual({ box: [16, 18, 16, 16], size: { height: 32, width: 32 } });
	});

	test("is moved inside the image, and leaves large crops their size", () => {
		expect(cropAround(mask(0, 60, 4, 4), options)).toEqual({ box: [0, 52, 12, 12], size: { height: 32, width: 32 } });
		expect(cropAround(mask(8, 8, 40, 10), options)).toEqual({ box: [4, 0, 48, 48], size: { height: 48, width: 48 } });
	});

	test("loses what an image that is too small cannot give, and keeps the shape of its pixels", () => {
		const crop = cropAround(mask(4, 2, 40, 10, 16, 64), { ...options, resolution: { height: 96, width: 96 } });
		expect(crop).toEqual({ box: [0, 0, 48, 16], size: { height: 32, width: 96 } });
	});

	test("in its own size: sides of quarters of the model's resolution, or multiples of the autoencoder's", () => {
		expect(cropAround(mask(20, 24, 8, 4), { ...options, margin: 1, enlarge: false }).box).toEqual([16, 18, 16, 16]);
		expect(cropAround(mask(20, 24, 8, 4), { ...options, margin: 1, enlarge: false, resolution: undefined }).box).toEqual([18, 20, 12, 12]);
	});

	test("nothing masked: the whole image", () => {
		expect(cropAround(fullMask({ height: 64, width: 64 }, 0), options).box).toEqual([0, 0, 64, 64]);
	});

	test("always lies inside, holds the mask and fits the autoencoder", () => {
		const side = fc.integer({ min: 1, max: 16 }).map((n) => n * 4);
		const share = fc.double({ min: 0, max: 0.999, noNaN: true });
		const shape = fc.tuple(side, side, share, share, share, share, fc.nat(20), fc.boolean());
		fc.assert(
			fc.property(shape, ([height, width, left, top, right, bottom, margin, enlarge]) => {
				const [x, y] = [Math.floor(left * width), Math.floor(top * height)];
				const masked = mask(x, y, 1 + right * (width - x - 1), 1 + bottom * (height - y - 1), height, width);
				const { box, size } = cropAround(masked, { ...options, margin, enlarge });
				const [mx, my, mw, mh] = maskBox(masked) as [number, number, number, number];
				expect([box[0] >= 0, box[1] >= 0, box[0] + box[2] <= width, box[1] + box[3] <= height]).toEqual([true, true, true, true]);
				const holds = [box[0] <= mx, box[1] <= my, box[0] + box[2] >= mx + mw, box[1] + box[3] >= my + mh];
				expect(holds).toEqual([true, true, true, true]);
				expect([size.height % 4, size.width % 4]).toEqual([0, 0]);
				expect(size.height >= box[3] && size.width >= box[2]).toBe(true);
			}),
			{ seed: 1, numRuns: 500 },
		);
	});
});

test("what was cut in its own size and pasted back is the image", () => {
	const image = picture(32, 48);
	const masked = mask(30, 5, 9, 12, 32, 48);
	const crop = cropAround(masked, { ...options, margin: 2, enlarge: false });
	const { image: small, mask: smallMask } = cut({ image, mask: masked }, crop);
	expect(small.dims).toEqual([3, crop.size.height, crop.size.width]);
	expect(paste(image, small, crop).data).toEqual(image.data);
	expect(smallMask.data.reduce((sum, v) => sum + v, 0)).toBe(9 * 12);
	const [x, y] = crop.box;
	expect(small.data[0]).toBe(image.data[y * 48 + x]);
});

test("what is pasted changes the crop alone", () => {
	const image = picture(64, 64);
	const crop = cropAround(mask(20, 24, 8, 4), options);
	const white = tensor(new Float32Array(3 * 32 * 32).fill(1), [3, 32, 32]);
	const pasted = paste(image, white, crop);
	const inside = maskFromBoxes([crop.box], { height: 64, width: 64 });
	pasted.data.forEach((v, i) => {
		expect(v).toBe(inside.data[i % (64 * 64)] === 1 ? 1 : image.data[i]);
	});
});
