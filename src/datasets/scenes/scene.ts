/** @file One scene: a background, two to eight objects, and the masks of what is visible of each. */
import { type Random, random } from "../../tensor/random.ts";
import { paintBackground } from "./backgrounds.ts";
import type { CategorySprites } from "./glyphs.ts";
import { colourMatrix, drawPatch, type Patch, type Pose } from "./sprite.ts";

export interface SceneObject {
	/** COCO's category id. */
	categoryId: number;
	/** `style:glyph` that was drawn. */
	glyph: string;
	/** Visible pixels: uint8 [size, size], 0 or 1. */
	mask: Uint8Array;
	/** Number of visible pixels. */
	area: number;
	/** [x, y, width, height] of the visible pixels. */
	box: readonly [number, number, number, number];
}

export interface Scene {
	/** Canvas side. */
	size: number;
	/** uint8 [size, size, 3], HWC. */
	pixels: Uint8Array;
	/** Back to front. */
	objects: readonly SceneObject[];
}

const FEWEST = 2;
const MOST = 8;
/** Longer side of an object as a part of the canvas. */
const SMALLEST = 0.27;
const LARGEST = 0.56;
/** Chance that an object is of a category that the scene already shows. */
const REPEATED = 0.15;
/** Every object keeps at least this part of its pixels inside the canvas and not covered; the first tries ask for more. */
const VISIBLE = [0.9, 0.75, 0.6] as const;
const TRIES = 12;

interface Placed {
	sprites: CategorySprites;
	glyph: string;
	/** Pixels of the whole object, also those outside the canvas. */
	total: number;
	/** Pixels still visible. */
	visible: number;
}

/** Which object each canvas pixel shows: -1 background, else its index in `placed`. */
interface Layout {
	size: number;
	owner: Int8Array;
	placed: Placed[];
}

/** Scene `index` of the stream `seed`: it depends on these, the size and the sprites, and on no other scene. */
export function drawScene(seed: number, index: number, size: number, categories: readonly CategorySprites[]): Scene {
	const r = random(seed, "scene", index);
	const canvas = paintBackground(r, size);
	const layout: Layout = { size, owner: new Int8Array(size * size).fill(-1), placed: [] };
	const count = FEWEST + r.int(MOST - FEWEST + 1);
	// Sides shrink as the objects become more, so that together they could cover about two thirds of the canvas.
	const largest = Math.max(Math.min(LARGEST, 1.05 / Math.sqrt(count)), SMALLEST + 0.04);
	for (let i = 0; i < count; i++) {
		const repeats = layout.placed.length > 0 && r.uniform() < REPEATED;
		const sprites = repeats ? r.pick(layout.placed).sprites : r.pick(categories);
		const sprite = r.pick(r.pick(sprites.styles));
		const patch = drawPatch(sprite, randomPose(r, size * SMALLEST, size * largest));
		const solid = solidPixels(patch);
		const spot = findPlace(r, patch, solid, layout);
		if (!spot) continue;
		claim(layout, solid, spot, { sprites, glyph: sprite.name, total: solid.length / 2, visible: 0 });
		blend(canvas, patch, spot, size);
	}
	return { size, pixels: toBytes(canvas), objects: layout.placed.flatMap((_, i) => toObject(layout, i)) };
}

const between = (r: Random, low: number, high: number) => low + (high - low) * r.uniform();

function randomPose(r: Random, smallest: number, largest: number): Pose {
	return {
		size: between(r, smallest, largest),
		aspect: between(r, 0.88, 1.14),
		angle: 0.2 * r.normal(),
		mirrored: r.uniform() < 0.5,
		shift: [r.uniform() - 0.5, r.uniform() - 0.5],
		colour: colourMatrix(between(r, 0.85, 1.15), between(r, 0.85, 1.15), between(r, 0.75, 1.25), 0.15 * r.normal()),
	};
}

type Spot = readonly [number, number];

/** x, y of the patch's pixels that hide what is behind them. */
function solidPixels({ width, height, data }: Patch): Int16Array {
	const found: number[] = [];
	for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (data[(y * width + x) * 4 + 3] >= 0.5) found.push(x, y);
	return Int16Array.from(found);
}

/** A random place where the patch and what it covers stay visible; the best of those tried for the first objects, else none. */
function findPlace(r: Random, patch: Patch, solid: Int16Array, layout: Layout): Spot | undefined {
	let best: Spot | undefined;
	let bestVisible = -1;
	for (const wanted of VISIBLE) {
		for (let attempt = 0; attempt < TRIES; attempt++) {
			const spot: Spot = [randomOffset(r, patch.width, layout.size), randomOffset(r, patch.height, layout.size)];
			const visible = leastVisible(solid, spot, layout);
			if (visible >= wanted) return spot;
			if (visible > bestVisible) [best, bestVisible] = [spot, visible];
		}
	}
	return layout.placed.length < FEWEST ? best : undefined;
}

/** Offset of a patch's side so that at most a tenth of it lies outside. */
function randomOffset(r: Random, side: number, size: number): number {
	const outside = Math.floor(side * 0.1);
	return r.int(Math.max(size - side + 2 * outside, 0) + 1) - outside;
}

/** Smallest visible part of any object once the patch lies at `spot`. */
function leastVisible(solid: Int16Array, spot: Spot, { size, owner, placed }: Layout): number {
	const covered = new Int32Array(placed.length);
	const inside = visit(solid, spot, size, (at) => {
		if (owner[at] >= 0) covered[owner[at]]++;
	});
	return placed.reduce((least, other, i) => Math.min(least, (other.visible - covered[i]) / other.total), (2 * inside) / solid.length);
}

/** Enters a new object on top of the others. */
function claim({ size, owner, placed }: Layout, solid: Int16Array, spot: Spot, object: Placed): void {
	object.visible = visit(solid, spot, size, (at) => {
		if (owner[at] >= 0) placed[owner[at]].visible--;
		owner[at] = placed.length;
	});
	placed.push(object);
}

/** Calls `see` for each canvas pixel under the patch's solid ones and returns their number. */
function visit(solid: Int16Array, [left, top]: Spot, size: number, see: (at: number) => void): number {
	let inside = 0;
	for (let i = 0; i < solid.length; i += 2) {
		const x = left + solid[i];
		const y = top + solid[i + 1];
		if (x < 0 || y < 0 || x >= size || y >= size) continue;
		inside++;
		see(y * size + x);
	}
	return inside;
}

/** Porter-Duff "over" with premultiplied colours. */
function blend(canvas: Float32Array, { width, height, data }: Patch, [left, top]: Spot, size: number): void {
	for (let y = Math.max(0, -top); y < Math.min(height, size - top); y++) {
		for (let x = Math.max(0, -left); x < Math.min(width, size - left); x++) {
			const from = (y * width + x) * 4;
			const to = ((top + y) * size + left + x) * 3;
			const rest = 1 - data[from + 3];
			for (let c = 0; c < 3; c++) canvas[to + c] = data[from + c] + rest * canvas[to + c];
		}
	}
}

function toBytes(canvas: Float32Array): Uint8Array {
	const bytes = new Uint8ClampedArray(canvas.length);
	for (let i = 0; i < canvas.length; i++) bytes[i] = 255 * canvas[i];
	return new Uint8Array(bytes.buffer);
}

function toObject({ size, owner, placed }: Layout, index: number): SceneObject[] {
	const { sprites, glyph, visible } = placed[index];
	if (visible === 0) return [];
	const mask = new Uint8Array(size * size);
	let [x0, y0, x1, y1] = [size, size, 0, 0];
	for (let y = 0; y < size; y++) {
		for (let x = 0; x < size; x++) {
			if (owner[y * size + x] !== index) continue;
			mask[y * size + x] = 1;
			x0 = Math.min(x0, x);
			x1 = Math.max(x1, x + 1);
			y0 = Math.min(y0, y);
			y1 = Math.max(y1, y + 1);
		}
	}
	return [{ categoryId: sprites.category.id, glyph, mask, area: visible, box: [x0, y0, x1 - x0, y1 - y0] }];
}
