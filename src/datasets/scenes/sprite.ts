/** @file Sprites with a chain of halved copies, drawn turned, scaled, mirrored and recoloured without aliasing. */

interface Level {
	width: number;
	height: number;
	/** Premultiplied RGBA in [0, 1], HWC. */
	data: Float32Array;
}

export interface Sprite {
	/** `style:glyph`. */
	name: string;
	/** Width and height of the drawn part, the longer one being 1. */
	extent: readonly [number, number];
	/** Finest first, each half as large as the one before. */
	levels: readonly Level[];
}

export interface Pose {
	/** Longer side of the unturned sprite in canvas pixels. */
	size: number;
	/** Width / height, relative to the sprite's own. */
	aspect: number;
	/** Radians, counter-clockwise in image coordinates with y down. */
	angle: number;
	mirrored: boolean;
	/** Part of a pixel by which the sprite's centre is off the patch's, in [-0.5, 0.5). */
	shift: readonly [number, number];
	/** Row-major [3, 4]: colour' = M * (colour, 1). */
	colour: Float32Array;
}

/** A drawn sprite: premultiplied RGBA in [0, 1], HWC. */
export interface Patch {
	width: number;
	height: number;
	data: Float32Array;
}

/** A sprite from 8-bit straight RGBA pixels, cropped to what is drawn, and halved by area averaging until it is a few pixels small. */
export function makeSprite(name: string, rgba: Uint8Array, width: number, height: number): Sprite {
	const [x0, y0, x1, y1] = drawnBounds(rgba, width, height);
	let level: Level = { width: x1 - x0, height: y1 - y0, data: new Float32Array((x1 - x0) * (y1 - y0) * 4) };
	for (let y = y0; y < y1; y++) {
		for (let x = x0; x < x1; x++) {
			const from = (y * width + x) * 4;
			const to = ((y - y0) * level.width + (x - x0)) * 4;
			const alpha = rgba[from + 3] / 255;
			for (let c = 0; c < 3; c++) level.data[to + c] = (rgba[from + c] / 255) * alpha;
			level.data[to + 3] = alpha;
		}
	}
	const longest = Math.max(level.width, level.height);
	const extent = [level.width / longest, level.height / longest] as const;
	const levels = [level];
	while (Math.min(level.width, level.height) >= 4) {
		level = halved(level);
		levels.push(level);
	}
	return { name, extent, levels };
}

function drawnBounds(rgba: Uint8Array, width: number, height: number): [number, number, number, number] {
	let [x0, y0, x1, y1] = [width, height, 0, 0];
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			if (rgba[(y * width + x) * 4 + 3] < 32) continue;
			x0 = Math.min(x0, x);
			x1 = Math.max(x1, x + 1);
			y0 = Math.min(y0, y);
			y1 = Math.max(y1, y + 1);
		}
	}
	return [x0, y0, x1, y1];
}

function halved({ width, height, data }: Level): Level {
	const w = Math.ceil(width / 2);
	const h = Math.ceil(height / 2);
	const out = new Float32Array(w * h * 4);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			const from = (y * width + x) * 4;
			const to = ((y >> 1) * w + (x >> 1)) * 4;
			for (let c = 0; c < 4; c++) out[to + c] += data[from + c] / 4;
		}
	}
	return { width: w, height: h, data: out };
}

/** Draws a sprite: four bilinear samples a pixel from the level whose texels are at most that small. */
export function drawPatch({ extent, levels }: Sprite, { size, aspect, angle, mirrored, shift, colour }: Pose): Patch {
	const stretch = Math.sqrt(aspect);
	const drawnWidth = size * extent[0] * stretch;
	const drawnHeight = (size * extent[1]) / stretch;
	const cos = Math.cos(angle);
	const sin = Math.sin(angle);
	const width = Math.ceil(Math.abs(drawnWidth * cos) + Math.abs(drawnHeight * sin)) + 2;
	const height = Math.ceil(Math.abs(drawnWidth * sin) + Math.abs(drawnHeight * cos)) + 2;
	// Four samples a pixel lie half a pixel apart, so texels of up to half a pixel are averaged.
	const level = levels.findLast((l) => Math.max(l.width, l.height) >= size * 1.5) ?? levels[0];
	const perX = (level.width / drawnWidth) * (mirrored ? -1 : 1);
	const perY = level.height / drawnHeight;
	const data = new Float32Array(width * height * 4);
	const sample = new Float32Array(4);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			for (let c = 0; c < 4; c++) sample[c] = 0;
			for (let i = 0; i < 4; i++) {
				const px = x + 0.25 + (i & 1) / 2 - width / 2 - shift[0];
				const py = y + 0.25 + (i >> 1) / 2 - height / 2 - shift[1];
				const u = (cos * px + sin * py) * perX + level.width / 2 - 0.5;
				const v = (cos * py - sin * px) * perY + level.height / 2 - 0.5;
				addBilinear(level, u, v, sample);
			}
			const alpha = sample[3] / 4;
			if (alpha <= 0) continue;
			const to = (y * width + x) * 4;
			for (let c = 0; c < 3; c++) {
				const m = c * 4;
				const value = (colour[m] * sample[0] + colour[m + 1] * sample[1] + colour[m + 2] * sample[2]) / 4 + colour[m + 3] * alpha;
				data[to + c] = Math.min(Math.max(value, 0), alpha);
			}
			data[to + 3] = alpha;
		}
	}
	return { width, height, data };
}

/** Adds the bilinear sample at (u, v), texel centres at integers, transparent outside. */
function addBilinear({ width, height, data }: Level, u: number, v: number, out: Float32Array): void {
	const x = Math.floor(u);
	const y = Math.floor(v);
	if (x < -1 || y < -1 || x >= width || y >= height) return;
	const fx = u - x;
	const fy = v - y;
	const at = (y * width + x) * 4;
	const left = x >= 0;
	const right = x + 1 < width;
	if (y >= 0) {
		if (left) addTexel(data, at, (1 - fx) * (1 - fy), out);
		if (right) addTexel(data, at + 4, fx * (1 - fy), out);
	}
	if (y + 1 < height) {
		if (left) addTexel(data, at + width * 4, (1 - fx) * fy, out);
		if (right) addTexel(data, at + width * 4 + 4, fx * fy, out);
	}
}

function addTexel(data: Float32Array, at: number, weight: number, out: Float32Array): void {
	if (data[at + 3] === 0) return;
	out[0] += weight * data[at];
	out[1] += weight * data[at + 1];
	out[2] += weight * data[at + 2];
	out[3] += weight * data[at + 3];
}

/** Brightness gain, contrast about mid-grey, saturation and hue turn (radians) as one [3, 4] matrix. */
export function colourMatrix(gain: number, contrast: number, saturation: number, hue: number): Float32Array {
	const luma = [0.299, 0.587, 0.114];
	const cos = Math.cos(hue);
	const sin = Math.sin(hue) / Math.sqrt(3);
	// Rotation about the grey axis (1, 1, 1) by Rodrigues' formula.
	const turn = [
		[cos + (1 - cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin],
		[(1 - cos) / 3 + sin, cos + (1 - cos) / 3, (1 - cos) / 3 - sin],
		[(1 - cos) / 3 - sin, (1 - cos) / 3 + sin, cos + (1 - cos) / 3],
	];
	const out = new Float32Array(12);
	for (let r = 0; r < 3; r++) {
		for (let c = 0; c < 3; c++) {
			const grey = luma[0] * turn[0][c] + luma[1] * turn[1][c] + luma[2] * turn[2][c];
			out[r * 4 + c] = gain * contrast * (saturation * turn[r][c] + (1 - saturation) * grey);
		}
		out[r * 4 + 3] = 0.5 * (1 - contrast);
	}
	return out;
}
