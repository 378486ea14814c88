import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import { decodeImage } from "./decode.ts";

const W = 37;
const H = 23;

/** A smooth picture, red towards the right, green towards the bottom, so that turning and colour faults show. */
const gradient = Uint8Array.from({ length: W * H * 3 }, (_, i) => {
	const [c, x, y] = [i % 3, Math.floor(i / 3) % W, Math.floor(i / 3 / W)];
	return c === 0 ? Math.round((x * 255) / (W - 1)) : c === 1 ? Math.round((y * 255) / (H - 1)) : 60;
});
const picture = () => sharp(gradient, { raw: { width: W, height: H, channels: 3 } });
const noise = (side: number) =>
	sharp(
		Uint8Array.from(random("noise").uniforms(side * side * 3), (v) => v * 256),
		{ raw: { width: side, height: side, channels: 3 } },
	);
const pixel = (image: { width: number; data: Uint8Array }, x: number, y: number) => [
	...image.data.slice((y * image.width + x) * 3).slice(0, 3),
];

let dir = "";
const save = async (name: string, bytes: Uint8Array) => {
	await writeFile(join(dir, name), bytes);
	return join(dir, name);
};
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "kintsugi-decode-"));
});
afterAll(() => rm(dir, { recursive: true }));

/** One line, with the file's name, what was wanted, what came, and what to do. */
async function refusal(path: string, options = {}) {
	const error = await decodeImage(path, options).then(
		() => undefined,
		(e) => e,
	);
	expect(error).toBeInstanceOf(KintsugiError);
	expect(error.code).toBe("image");
	expect(error.message).not.toContain("\n");
	expect(error.message).toContain(path);
	expect(error.message).toMatch(/: expected .+, found .+; .+/);
	return error.parts.found as string;
}

describe("what is accepted", () => {
	it("gives the bytes of a PNG", async () => {
		const image = await decodeImage(await save("plain.png", await picture().png().toBuffer()));
		expect(image).toMatchObject({ width: W, height: H, format: "png", conversions: [] });
		expect(image.data).toEqual(gradient);
	});

	it("takes bytes as well as a path", async () => {
		expect((await decodeImage(await picture().png().toBuffer())).data).toEqual(gradient);
	});

	it.each([
		[3, (x: number, y: number) => [W - 1 - x, H - 1 - y]],
		[6, (x: number, y: number) => [y, H - 1 - x]],
		[8, (x: number, y: number) => [W - 1 - y, x]],
	])("turns the picture as EXIF orientation %i says", async (orientation, original) => {
		const image = await decodeImage(
			await save(`exif${orientation}.tiff`, await picture().withMetadata({ orientation }).tiff({ compression: "lzw" }).toBuffer()),
		);
		const [width, height] = orientation === 3 ? [W, H] : [H, W];
		expect(image).toMatchObject({ width, height, conversions: [`EXIF orientation ${orientation} applied`] });
		for (const [x, y] of [
			[0, 0],
			[width - 1, 0],
			[5, height - 1],
		]) {
			const [ox, oy] = original(x, y);
			expect(pixel(image, x, y)).toEqual(pixel({ width: W, data: gradient }, ox, oy));
		}
	});

	it("converts CMYK to sRGB", async () => {
		const image = await decodeImage(
			await save("cmyk.jpg", await picture().toColourspace("cmyk").withIccProfile("cmyk").jpeg({ quality: 100 }).toBuffer()),
		);
		expect(image).toMatchObject({ width: W, height: H, conversions: ["CMYK converted to sRGB"] });
		const [r, g] = pixel(image, W - 3, 2);
		const [r2, g2] = pixel(image, 2, H - 3);
		expect(r - g).toBeGreaterThan(100);
		expect(g2 - r2).toBeGreaterThan(15);
	});

	it("reduces 16 bits to 8", async () => {
		const wide = Uint16Array.from(gradient, (v) => v * 256 + 77);
		const png = await sharp(wide, { raw: { width: W, height: H, channels: 3 } })
			.toColourspace("rgb16")
			.png()
			.toBuffer();
		const image = await decodeImage(await save("wide.png", png));
		expect(image.conversions).toEqual(["16 bits reduced to 8"]);
		expect(image.data).toEqual(gradient);
	});

	it("expands grey, also with 16 bits and with alpha", async () => {
		const grey = Uint8Array.from({ length: 64 }, (_, i) => i * 4);
		const expected = Uint8Array.from({ length: 192 }, (_, i) => grey[Math.floor(i / 3)]);
		const eight = await sharp(grey, { raw: { width: 8, height: 8, channels: 1 } })
			.toColourspace("b-w")
			.png()
			.toBuffer();
		const sixteen = await sharp(
			Uint16Array.from(grey, (v) => v * 257),
			{ raw: { width: 8, height: 8, channels: 1 } },
		)
			.toColourspace("grey16")
			.png()
			.toBuffer();
		expect((await sharp(sixteen).metadata()).depth).toBe("ushort");
		const alpha = await sharp(eight).ensureAlpha().png().toBuffer();
		for (const bytes of [eight, sixteen, alpha]) expect((await decodeImage(bytes)).data).toEqual(expected);
	});

	it("lays transparency on white, or on the colour asked for", async () => {
		const rgba = Uint8Array.from({ length: 16 * 4 }, (_, i) => [200, 100, 0, i < 32 ? 0 : 128][i % 4]);
		const path = await save(
			"clear.png",
			await sharp(rgba, { raw: { width: 4, height: 4, channels: 4 } })
				.png()
				.toBuffer(),
		);
		const white = await decodeImage(path);
		expect(pixel(white, 0, 0)).toEqual([255, 255, 255]);
		for (const [i, v] of [227, 177, 127].entries()) expect(Math.abs(pixel(white, 0, 3)[i] - v)).toBeLessThanOrEqual(1);
		expect(white.conversions).toEqual(["transparency laid on the background"]);
		expect(pixel(await decodeImage(path, { background: [10, 20, 30] }), 0, 0)).toEqual([10, 20, 30]);
	});

	it("reads a palette and a still GIF and WebP", async () => {
		const gif = await decodeImage(await picture().gif().toBuffer());
		const webp = await decodeImage(await picture().webp({ lossless: true }).toBuffer());
		const palette = await decodeImage(await picture().png({ palette: true, colours: 8 }).toBuffer());
		expect([gif.format, webp.format, palette.format]).toEqual(["gif", "webp", "png"]);
		expect(webp.data).toEqual(gradient);
		for (const { width, height, data } of [gif, palette]) expect([width, height, data.length]).toEqual([W, H, W * H * 3]);
	});
});

describe("what is refused", () => {
	const formats: [string, (s: Sharp) => Sharp][] = [
		["jpg", (s) => s.jpeg()],
		["png", (s) => s.png()],
		["webp", (s) => s.webp()],
		["gif", (s) => s.gif()],
		["tiff", (s) => s.tiff({ compression: "lzw" })],
		["avif", (s) => s.avif()],
	];

	it.each(formats)("a truncated %s", async (extension, encode) => {
		const bytes = await encode(noise(64)).toBuffer();
		for (const share of [0.3, 0.6, 0.9]) {
			await refusal(await save(`cut${share}.${extension}`, bytes.subarray(0, Math.floor(bytes.length * share))));
		}
	});

	it("an empty file", async () => {
		expect(await refusal(await save("empty.png", new Uint8Array()))).toBe("an empty file");
	});

	it("a file that is no image", async () => {
		expect(await refusal(await save("notes.jpg", new TextEncoder().encode("not an image at all\n".repeat(50))))).toBe(
			"bytes of no known image format",
		);
	});

	it("a drawing made of vectors", async () => {
		const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>';
		expect(await refusal(await save("drawing.svg", new TextEncoder().encode(svg)))).toBe("the format svg");
	});

	it("a file that is not there, and a folder", async () => {
		expect(await refusal(join(dir, "nowhere.png"))).toBe("no file of that name");
		expect(await refusal(dir)).toBe("a folder");
	});

	it.each(["gif", "webp"] as const)("an animated %s", async (format) => {
		const frames = sharp(
			new Uint8Array(16 * 48 * 3).map((_, i) => i % 251),
			{ raw: { width: 16, height: 48, channels: 3, pageHeight: 16 } },
		);
		const bytes = await (format === "gif" ? frames.gif() : frames.webp()).toBuffer();
		expect(await refusal(await save(`moving.${format}`, bytes))).toBe("3 frames or pages");
	});

	it("a 1 x 1 image", async () => {
		const dot = await sharp({ create: { width: 1, height: 1, channels: 3, background: "red" } })
			.png()
			.toBuffer();
		expect(await refusal(await save("dot.png", dot))).toBe("1 x 1");
	});

	it("too many pixels, before decoding them", async () => {
		const small = await save("small.png", await picture().png().toBuffer());
		expect(await refusal(small, { maxPixels: W * H - 1 })).toContain(`${W} x ${H}`);
		expect((await decodeImage(small, { maxPixels: W * H })).width).toBe(W);

		const header = (await picture().png().toBuffer()).subarray(0, 33);
		const bomb = Uint8Array.from(header);
		new DataView(bomb.buffer).setUint32(16, 100_000);
		new DataView(bomb.buffer).setUint32(20, 100_000);
		expect(await refusal(await save("bomb.png", withCrc(bomb)))).toBe("100000 x 100000 = 10000 megapixels");
	});
});

/** A PNG header with its checksum put right, followed by no pixels at all. */
function withCrc(header: Uint8Array): Uint8Array {
	let crc = 0xffffffff;
	for (const byte of header.subarray(12, 29)) {
		crc ^= byte;
		for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
	}
	const out = new Uint8Array(33 + 12);
	out.set(header);
	new DataView(out.buffer).setUint32(29, (crc ^ 0xffffffff) >>> 0);
	out.set([0, 0, 0, 0, 0x49, 0x44, 0x41, 0x54, 0x35, 0xaf, 0x06, 0x1e], 33);
	return out;
}
