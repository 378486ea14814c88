import fc from "fast-check";
import { expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { decodeImage } from "./decode.ts";
import { encodePng } from "./encode.ts";
import { fromBytes8, fromRgb, quantise, toBytes8, toRgb } from "./rgb.ts";

it("keeps every byte on the way to pixels and back", () => {
	const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
	expect(toBytes8(fromBytes8(bytes, [256]))).toEqual(bytes);
});

it("rounds halves up, clips, and refuses NaN", () => {
	expect([...toBytes8(tensor(Float32Array.of(-0.5, 0, 0.5, 1, 1.7, 100.49 / 255, 100.51 / 255), [7]))]).toEqual([
		0, 0, 128, 255, 255, 100, 101,
	]);
	expect(() => quantise(tensor(Float32Array.of(Number.NaN), [1]))).toThrow(/expected numbers in \[0, 1\], found NaN/);
});

it("moves no pixel by more than half a step, and quantises once and for all", () => {
	fc.assert(
		fc.property(fc.array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 }), (values) => {
			const t = tensor(Float32Array.from(values), [values.length]);
			const q = quantise(t);
			expect(quantise(q).data).toEqual(q.data);
			for (const [i, v] of q.data.entries()) expect(Math.abs(v - t.data[i])).toBeLessThanOrEqual(0.5 / 255 + 1e-7);
		}),
	);
});

it.each([3, 1])("writes PNG that decodes to the quantised image (%i channels), with equal bytes each time", async (channels) => {
	const t = tensor(random("png", channels).uniforms(channels * 19 * 31), [channels, 19, 31]);
	const png = await encodePng(t);
	expect(await encodePng(t)).toEqual(png);
	const decoded = await decodeImage(png);
	expect(decoded).toMatchObject({ width: 31, height: 19, format: "png" });
	expect(decoded.data).toEqual(toRgb(t).data);
	if (channels === 3) expect(fromRgb(decoded)).toEqual(quantise(t));
});

it("refuses a batch", async () => {
	await expect(encodePng(tensor(new Float32Array(24), [2, 3, 2, 2]))).rejects.toThrow(
		/expected dims \[3, H, W\] or \[1, H, W\], found \[2, 3, 2, 2\]/,
	);
});
