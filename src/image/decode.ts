/** @file Files to pixels: accepts what can mean only one picture, refuses the rest in one line. */
import { readFile } from "node:fs/promises";
import sharp, { type Metadata } from "sharp";
import { KintsugiError } from "../errors.ts";
import type { RgbImage } from "./rgb.ts";

export interface DecodeOptions {
	/** Larger images are refused before a pixel is read. */
	maxPixels?: number;
	/** Images with a shorter side are refused. */
	minSide?: number;
	/** What shows through transparent pixels: RGB, 0..255. */
	background?: readonly [number, number, number];
	/** What to call bytes in messages; a path names itself. */
	name?: string;
}

export interface DecodedImage extends RgbImage {
	readonly format: string;
	/** What had to be changed to arrive at 8-bit sRGB, in words; empty for a plain 8-bit RGB file. */
	readonly conversions: readonly string[];
}

/** Limit on the number of pixels that `decodeImage` accepts unless told otherwise. */
export const MAX_PIXELS = 50e6;

const FORMATS = new Set(["jpeg", "png", "webp", "gif", "tiff", "heif"]);
const EXPECTED = "a JPEG, PNG, WebP, GIF, TIFF or AVIF image";

/**
 * Decodes a file or its bytes to 8-bit RGB.
 * EXIF orientation is applied; CMYK becomes sRGB; 16 bits become 8; grey becomes RGB; transparency is laid on `background`.
 * Colour profiles of RGB files are ignored, as Pillow does. Throws `image` for a file that is missing, empty, truncated, not an image,
 * animated, too large or too small.
 */
export async function decodeImage(
	source: string | Uint8Array,
	{ maxPixels = MAX_PIXELS, minSide = 2, background = [255, 255, 255], name = "image" }: DecodeOptions = {},
): Promise<DecodedImage> {
	const where = typeof source === "string" ? source : name;
	const bytes = typeof source === "string" ? await readBytes(source) : source;
	if (bytes.length === 0) throw refuse(where, EXPECTED, "an empty file", "copy or download the file again");

	const meta = await readMetadata(where, bytes);
	assertFits(where, meta, maxPixels, minSide);

	const open = sharp(bytes, { failOn: "error", limitInputPixels: false, ignoreIcc: meta.space !== "cmyk" });
	try {
		const { data, info } = await open
			.autoOrient()
			.flatten({ background: { r: background[0], g: background[1], b: background[2] } })
			.toColourspace("srgb")
			.raw({ depth: "uchar" })
			.toBuffer({ resolveWithObject: true });
		return {
			width: info.width,
			height: info.height,
			data: info.channels === 3 ? new Uint8Array(data.buffer, data.byteOffset, data.length) : firstOfEach(data, info.channels),
			format: meta.format,
			conversions: conversions(meta),
		};
	} catch (cause) {
		throw refuse(where, `a complete ${meta.format} file`, reason(cause), "copy or download the file again", cause);
	}
}

async function readBytes(path: string): Promise<Uint8Array> {
	try {
		return await readFile(path);
	} catch (cause) {
		const code = (cause as NodeJS.ErrnoException).code;
		if (code === "ENOENT") throw refuse(path, "an image file", "no file of that name", "check the path", cause);
		if (code === "EISDIR") throw refuse(path, "an image file", "a folder", "name the files in it", cause);
		throw refuse(path, "a readable image file", reason(cause), "check the file and its permissions", cause);
	}
}

async function readMetadata(where: string, bytes: Uint8Array): Promise<Metadata> {
	try {
		return await sharp(bytes, { failOn: "error", limitInputPixels: false }).metadata();
	} catch (cause) {
		const found = /unsupported image format/.test(reason(cause)) ? "bytes of no known image format" : reason(cause);
		throw refuse(where, EXPECTED, found, "remove the file, or convert it to PNG", cause);
	}
}

function assertFits(where: string, meta: Metadata, maxPixels: number, minSide: number): void {
	const { format, width, height, pages = 1, depth } = meta;
	if (!FORMATS.has(format)) throw refuse(where, EXPECTED, `the format ${format}`, "convert it to PNG");
	if (width * height > maxPixels) {
		const found = `${width} x ${height} = ${megapixels(width * height)}`;
		throw refuse(where, `at most ${megapixels(maxPixels)}`, found, "make the image smaller, or raise the limit (maxPixels)");
	}
	if (pages > 1) throw refuse(where, "one still picture", `${pages} frames or pages`, "save the frame you mean as PNG");
	if (Math.min(width, height) < minSide) {
		throw refuse(where, `at least ${minSide} x ${minSide} pixels`, `${width} x ${height}`, "pass an image that shows something");
	}
	if (depth !== "uchar" && depth !== "ushort") {
		throw refuse(where, "8 or 16 bits a channel", `samples of type ${depth}`, "convert it to an 8-bit PNG");
	}
}

function conversions({ orientation = 1, space, depth, hasAlpha }: Metadata): string[] {
	const out: string[] = [];
	if (orientation !== 1) out.push(`EXIF orientation ${orientation} applied`);
	if (space === "cmyk") out.push("CMYK converted to sRGB");
	if (depth === "ushort") out.push("16 bits reduced to 8");
	if (hasAlpha) out.push("transparency laid on the background");
	if (space === "b-w" || space === "grey16") out.push("grey expanded to RGB");
	return out;
}

function firstOfEach(data: Uint8Array, channels: number): Uint8Array {
	const out = new Uint8Array((data.length / channels) * 3);
	for (let i = 0, j = 0; i < data.length; i += channels) {
		for (let c = 0; c < 3; c++) out[j++] = data[i + (channels < 3 ? 0 : c)];
	}
	return out;
}

const megapixels = (n: number) => `${Number((n / 1e6).toPrecision(3))} megapixels`;

/** First line of a library's message. */
const reason = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause)).trim().split("\n")[0];

const refuse = (where: string, expected: string, found: string, fix: string, cause?: unknown) =>
	new KintsugiError("image", { where, expected, found, fix }, cause === undefined ? undefined : { cause });
