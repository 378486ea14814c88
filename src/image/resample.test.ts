import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { toCanvas } from "./canvas.ts";
import { compose, inverse, type Mapping, mapBox, stretch } from "./geometry.ts";
import { resample } from "./resample.ts";
import { fromRgb, type RgbImage, toRgb } from "./rgb.ts";

interface Resized {
	filter: "bilinear" | "bicubic";
	from: [number, number];
	to: [number, number];
	box: [number, number, number, number] | null;
	source: string;
	result: string;
}
const golden: { resized: Resized[] } = JSON.parse(readFileSync(new URL("../../test/golden/preprocess.json", import.meta.url), "utf8"));
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "base64"));
const picture = (width: number, height: number): RgbImage => ({
	width,
	height,
	data: Uint8Array.from(random("resample", width, height).uniforms(width * height * 3), (v) => v * 256),
});
/** A black picture with one white rectangle. */
const withBox = (width: number, height: number, [x, y, w, h]: readonly number[]): RgbImage => ({
	width,
	height,
	data: Uint8Array.from({ length: width * height * 3 }, (_, i) => {
		const [px, py] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
		return px >= x && px < x + w && py >= y && py < y + h ? 255 : 0;
	}),
});

describe("resample", () => {
	it.each(golden.resized.map((g) => [g.filter, g.from, g.to, g] as const))(
		"equals Pillow: %s %j -> %j",
		(filter, [height, width], to, g) => {
			const size = { height: to[0], width: to[1] };
			const result = resample({ width, height, data: bytes(g.source) }, size, { filter, ...(g.box ? { box: g.box } : {}) });
			expect(result.data).toEqual(bytes(g.result));
		},
	);

	it("keeps a constant picture constant, whatever the sizes", () => {
		const side = fc.integer({ min: 2, max: 30 });
		fc.assert(
			fc.property(side, side, side, side, fc.integer({ min: 0, max: 255 }), (width, height, w, h, value) => {
				const source = { width, height, data: new Uint8Array(width * height * 3).fill(value) };
				for (const filter of ["bilinear", "bicubic"] as const) {
					expect(resample(source, { width: w, height: h }, { filter }).data.every((v) => v === value)).toBe(true);
				}
			}),
		);
	});
});

describe("canvas", () => {
	const policies = ["stretch", "crop", "letterbox"] as const;

	it.each(policies)("passes a file of the canvas's size through bit by bit (%s)", (policy) => {
		const source = picture(24, 16);
		const { canvas, mapping } = toCanvas(source, { height: 16, width: 24, policy });
		expect(canvas).toEqual(fromRgb(source));
		expect(mapBox([3, 4, 5, 6], mapping)).toEqual([3, 4, 5, 6]);
	});

	it.each([
		["stretch", 90, 60],
		["stretch", 20, 31],
		["crop", 90, 60],
		["crop", 31, 97],
		["letterbox", 90, 60],
		["letterbox", 31, 97],
	] as const)("puts a box where its pixels are (%s, %i x %i)", (policy, width, height) => {
		const box = [width * 0.4, height * 0.3, width * 0.3, height * 0.5].map(Math.round) as [number, number, number, number];
		for (const align of ["center", "start"] as const) {
			const { canvas, mapping } = toCanvas(withBox(width, height, box), {
				height: 40,
				width: 48,
				policy,
				align,
				fill: [0, 0, 0],
				filter: "bilinear",
			});
			const [x, y, w, h] = mapBox(box, mapping) ?? [0, 0, 0, 0];
			const { data } = toRgb(canvas);
			let [area, momentX, momentY] = [0, 0, 0];
			for (let i = 0; i < 40 * 48; i++) {
				const share = data[i * 3] / 255;
				area += share;
				momentX += share * ((i % 48) + 0.5);
				momentY += share * (Math.floor(i / 48) + 0.5);
			}
			expect(Math.abs(area / (w * h) - 1)).toBeLessThan(0.03);
			expect(Math.abs(momentX / area - (x + w / 2))).toBeLessThan(0.15);
			expect(Math.abs(momentY / area - (y + h / 2))).toBeLessThan(0.15);
		}
	});

	it("leads boxes back to the file", () => {
		fc.assert(
			fc.property(
				fc.constantFrom(...policies),
				fc.integer({ min: 20, max: 90 }),
				fc.integer({ min: 20, max: 90 }),
				(policy, width, height) => {
					const { mapping } = toCanvas(picture(width, height), { height: 32, width: 32, policy });
					const centre = [width / 2 - 1, height / 2 - 2, 2, 4] as const;
					const there = mapBox(centre, mapping);
					const back = there && mapBox(there, inverse(mapping));
					for (const [i, v] of (back ?? []).entries()) expect(v).toBeCloseTo(centre[i], 8);
					expect(back).toHaveLength(4);
				},
			),
		);
	});

	it("fills the bars and nothing else", () => {
		const white = { width: 40, height: 20, data: new Uint8Array(2400).fill(255) };
		const top = toRgb(toCanvas(white, { height: 20, width: 20, policy: "letterbox", align: "start", fill: [1, 2, 3] }).canvas).data;
		expect([...top.slice(0, 3), ...top.slice(9 * 60, 9 * 60 + 3), ...top.slice(10 * 60, 10 * 60 + 3)]).toEqual([
			255, 255, 255, 255, 255, 255, 1, 2, 3,
		]);
		const centre = toRgb(toCanvas(white, { height: 20, width: 20, policy: "letterbox" }).canvas).data;
		expect([centre[4 * 60], centre[5 * 60], centre[14 * 60], centre[15 * 60]]).toEqual([114, 255, 255, 114]);
	});

	it("cuts boxes at the border and drops those outside", () => {
		const { mapping } = toCanvas(picture(80, 40), { height: 20, width: 20, policy: "crop" });
		expect(mapBox([0, 0, 40, 40], mapping)).toEqual([0, 0, 10, 20]);
		expect(mapBox([0, 0, 20, 40], mapping)).toBeUndefined();
	});

	it("composes mappings", () => {
		const shift: Mapping = {
			from: { height: 20, width: 20 },
			to: { height: 20, width: 20 },
			scaleX: 1,
			scaleY: 1,
			offsetX: 2,
			offsetY: -1,
		};
		const both = compose(stretch({ height: 40, width: 10 }, { height: 20, width: 20 }), shift);
		expect(mapBox([1, 10, 2, 4], both)).toEqual([4, 4, 4, 2]);
	});
});
