import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { full, type Tensor, tensor } from "../tensor/tensor.ts";
import { gaussianBlur, jpegRoundTrip, medianFilter } from "./baselines.ts";
import { maskFromBoxes } from "./mask.ts";
import { contactSheet, overlayMask, PALETTE, perturbationPicture, upscale } from "./overlay.ts";
import { quantise } from "./rgb.ts";

const at = ({ data, dims }: Tensor, x: number, y: number) => [0, 1, 2].map((c) => data[(c * dims[1] + y) * dims[2] + x]);
const image = quantise(tensor(random("overlay").uniforms(3 * 24 * 32), [3, 24, 32]));
const close = (found: number[], expected: readonly number[]) => {
	for (const [i, v] of expected.entries()) expect(found[i]).toBeCloseTo(v, 5);
};

describe("pictures", () => {
	it("tints the mask, outlines boxes, and leaves the rest", () => {
		const mask = maskFromBoxes([[4, 4, 8, 8]], { height: 24, width: 32 });
		const plain = overlayMask(image, mask, { opacity: 0.5, colour: [1, 0, 0] });
		close(at(plain, 20, 20), at(image, 20, 20));
		const [r, g, b] = at(image, 6, 6);
		close(at(plain, 6, 6), [r / 2 + 0.5, g / 2, b / 2]);
		const boxed = overlayMask(image, mask, {
			boxes: [
				[4, 4, 8, 8],
				[28, 20, 40, 40],
			],
		});
		close(at(boxed, 4, 9), PALETTE[0]);
		close(at(boxed, 11, 11), PALETTE[0]);
		close(at(boxed, 31, 23), PALETTE[1]);
		close(at(boxed, 12, 12), at(image, 12, 12));
	});

	it("shows a perturbation ten times amplified around grey", () => {
		const clean = full([3, 2, 2], 0.5);
		const moved = tensor(Float32Array.of(0.5, 0.52, 0.48, 0.9, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5), [3, 2, 2]);
		close([...perturbationPicture(clean, moved).data], [0.5, 0.7, 0.3, 1, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
		close([...perturbationPicture(clean, moved, { gain: 1 }).data].slice(1, 3), [0.52, 0.48]);
	});

	it("enlarges by whole pixels", () => {
		expect([...upscale(tensor(Float32Array.of(1, 2, 3, 4), [1, 2, 2]), 2).data]).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
	});

	it("puts images side by side", () => {
		const sheet = contactSheet([full([3, 2, 3], 0.1), full([1, 2, 3], 0.2), full([3, 2, 3], 0.3)], {
			columns: 2,
			gap: 1,
			background: [0, 0, 1],
		});
		expect(sheet.dims).toEqual([3, 7, 9]);
		close(at(sheet, 1, 1), [0.1, 0.1, 0.1]);
		close(at(sheet, 7, 2), [0.2, 0.2, 0.2]);
		close(at(sheet, 3, 5), [0.3, 0.3, 0.3]);
		close(at(sheet, 0, 0), [0, 0, 1]);
		close(at(sheet, 5, 4), [0, 0, 1]);
	});
});

describe("classical filters", () => {
	const mean = (t: Tensor) => t.data.reduce((s, v) => s + v, 0) / t.data.length;
	const distance = (a: Tensor, b: Tensor) => Math.sqrt(a.data.reduce((s, v, i) => s + (v - b.data[i]) ** 2, 0) / a.data.length);
	const smooth = quantise(
		tensor(
			Float32Array.from({ length: 3 * 24 * 32 }, (_, i) => 0.5 + 0.4 * Math.sin((i % 32) / 5)),
			[3, 24, 32],
		),
	);

	it("JPEG loses less with more quality and gives the same bytes again", async () => {
		const [high, low] = [await jpegRoundTrip(smooth, 95), await jpegRoundTrip(smooth, 10)];
		expect(distance(high, smooth)).toBeLessThan(0.01);
		expect(distance(low, smooth)).toBeGreaterThan(2 * distance(high, smooth));
		expect(await jpegRoundTrip(smooth, 10)).toEqual(low);
		expect(quantise(low)).toEqual(low);
	});

	it("Gaussian blur keeps the mean, spreads a point by sigma, and smooths", () => {
		expect(Math.abs(mean(gaussianBlur(image, 2)) - mean(image))).toBeLessThan(0.002);
		expect(distance(gaussianBlur(image, 2), full(image.dims, mean(image)))).toBeLessThan(0.1);
		const point = full([1, 21, 21], 0);
		point.data[10 * 21 + 10] = 1;
		const { data } = gaussianBlur(point, 1);
		for (const [dx, dy] of [
			[0, 0],
			[1, 0],
			[0, 2],
			[1, 1],
		]) {
			const ideal = Math.exp(-(dx * dx + dy * dy) / 2) / (2 * Math.PI);
			expect(Math.abs(data[(10 + dy) * 21 + 10 + dx] - ideal)).toBeLessThan(0.003);
		}
	});

	it("the median removes single points and keeps edges", () => {
		const edge = tensor(
			Float32Array.from({ length: 64 }, (_, i) => (i % 8 < 4 ? 0.2 : 0.8)),
			[1, 8, 8],
		);
		const spoiled = tensor(edge.data.slice(), edge.dims);
		spoiled.data[8 * 2 + 1] = 1;
		spoiled.data[8 * 5 + 6] = 0;
		expect(medianFilter(spoiled)).toEqual(edge);
		expect(() => medianFilter(edge, 4)).toThrow(/expected an odd whole number, found 4/);
	});
});
