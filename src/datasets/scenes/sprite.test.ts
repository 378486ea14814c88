import { describe, expect, it } from "vitest";
import { colourMatrix, drawPatch, makeSprite, type Patch, type Pose } from "./sprite.ts";

const PLAIN = colourMatrix(1, 1, 1, 0);
const pose = (fields: Partial<Pose> = {}): Pose => ({
	size: 20,
	aspect: 1,
	angle: 0,
	mirrored: false,
	shift: [0, 0],
	colour: PLAIN,
	...fields,
});

/** 64 x 64 with a drawn part of 40 x 20 whose left half is red and right half blue. */
function twoColours() {
	const rgba = new Uint8Array(64 * 64 * 4);
	for (let y = 10; y < 30; y++) for (let x = 5; x < 45; x++) rgba.set(x < 25 ? [255, 0, 0, 255] : [0, 0, 255, 255], (y * 64 + x) * 4);
	return makeSprite("two", rgba, 64, 64);
}

const sum = ({ data }: Patch, channel: number) => data.filter((_, i) => i % 4 === channel).reduce((a, b) => a + b, 0);
/** Mean position of a channel, relative to the patch's centre. */
function centroid({ width, height, data }: Patch, channel: number): [number, number] {
	let [x, y, total] = [0, 0, 0];
	for (let i = 0; i < width * height; i++) {
		const value = data[i * 4 + channel];
		x += value * ((i % width) + 0.5 - width / 2);
		y += value * (Math.floor(i / width) + 0.5 - height / 2);
		total += value;
	}
	return [x / total, y / total];
}

describe("sprites", () => {
	it("are cropped to what is drawn and halved", () => {
		const { extent, levels } = twoColours();
		expect(extent).toEqual([1, 0.5]);
		expect(levels.map(({ width, height }) => [width, height])).toEqual([
			[40, 20],
			[20, 10],
			[10, 5],
			[5, 3],
		]);
	});

	it.each([7.3, 12, 20, 31.7])("cover the area of their size: %d pixels", (size) => {
		const patch = drawPatch(twoColours(), pose({ size, angle: 0.4 }));
		expect(sum(patch, 3)).toBeCloseTo((size * size) / 2, -1);
		expect(sum(patch, 3) / ((size * size) / 2)).toBeGreaterThan(0.93);
		expect(sum(patch, 3) / ((size * size) / 2)).toBeLessThan(1.07);
	});

	it("keep colour and place, and change sides when mirrored", () => {
		const patch = drawPatch(twoColours(), pose());
		expect(centroid(patch, 0)[0]).toBeCloseTo(-5, 1);
		expect(centroid(patch, 2)[0]).toBeGreaterThan(centroid(patch, 0)[0] + 9);
		const mirrored = drawPatch(twoColours(), pose({ mirrored: true }));
		expect(centroid(mirrored, 0)[0]).toBeGreaterThan(centroid(mirrored, 2)[0] + 9);
	});

	it("turn about their centre", () => {
		const patch = drawPatch(twoColours(), pose({ angle: Math.PI / 2 }));
		const [red, blue] = [centroid(patch, 0), centroid(patch, 2)];
		expect(red[0]).toBeCloseTo(blue[0], 3);
		expect(blue[1] - red[1]).toBeCloseTo(10, 1);
	});

	it("move by a part of a pixel", () => {
		const [x0, y0] = centroid(drawPatch(twoColours(), pose()), 3);
		const [x1, y1] = centroid(drawPatch(twoColours(), pose({ shift: [0.3, -0.4] })), 3);
		expect(x1 - x0).toBeCloseTo(0.3, 3);
		expect(y1 - y0).toBeCloseTo(-0.4, 3);
	});

	it("stay premultiplied colours in range however they are recoloured", () => {
		const { data } = drawPatch(twoColours(), pose({ colour: colourMatrix(1.5, 1.5, 2, 1) }));
		for (let i = 0; i < data.length; i += 4) {
			for (let c = 0; c < 3; c++) expect(data[i + c]).toBeGreaterThanOrEqual(0);
			for (let c = 0; c < 3; c++) expect(data[i + c]).toBeLessThanOrEqual(data[i + 3]);
		}
	});
});

describe("colourMatrix", () => {
	const apply = (m: Float32Array, rgb: number[]) => [0, 4, 8].map((r) => m[r] * rgb[0] + m[r + 1] * rgb[1] + m[r + 2] * rgb[2] + m[r + 3]);
	const close = (found: number[], expected: number[]) => {
		found.forEach((value, i) => {
			expect(value).toBeCloseTo(expected[i], 5);
		});
	};

	it("is the identity at neutral settings, and after a full turn of the hue", () => {
		close(apply(PLAIN, [0.2, 0.5, 0.9]), [0.2, 0.5, 0.9]);
		close(apply(colourMatrix(1, 1, 1, 2 * Math.PI), [0.2, 0.5, 0.9]), [0.2, 0.5, 0.9]);
	});

	it("turns red to green in a third of a turn, and to grey without saturation", () => {
		close(apply(colourMatrix(1, 1, 1, (2 * Math.PI) / 3), [1, 0, 0]), [0, 1, 0]);
		close(apply(colourMatrix(1, 1, 0, 0), [1, 0, 0]), [0.299, 0.299, 0.299]);
	});

	it("keeps mid-grey under contrast and scales it by the gain", () => {
		close(apply(colourMatrix(1, 1.4, 1, 0), [0.5, 0.5, 0.5]), [0.5, 0.5, 0.5]);
		close(apply(colourMatrix(0.8, 1, 1, 0), [0.5, 0.5, 0.5]), [0.4, 0.4, 0.4]);
	});
});
