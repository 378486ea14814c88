/** @file Writes scenes as a data set in the official COCO format. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { KintsugiError } from "../../errors.ts";
import type { CocoCategory } from "../coco-categories.ts";
import { maskToCounts, packCounts } from "../rle.ts";
import { BUNDLED_CATEGORIES, SCENE_CATEGORIES } from "./categories.ts";
import { loadSprites, STYLES, type Style } from "./glyphs.ts";
import { SCENES_LICENSE } from "./license.ts";
import { drawScene, type Scene } from "./scene.ts";

export interface ScenesOptions {
	count: number;
	seed: number;
	/** Folder that receives `annotations/instances_{split}.json` and `{split}/000000000001.png` ... */
	out: string;
	/** Canvas side in pixels. */
	size?: number;
	/** COCO names; default: the bundled 24. */
	categories?: readonly string[];
	styles?: readonly Style[];
	split?: string;
	/** Write into a folder that is not empty. */
	force?: boolean;
	onProgress?: (done: number) => void;
}

interface AnnotationRecord {
	id: number;
	image_id: number;
	category_id: number;
	bbox: readonly number[];
	area: number;
	iscrowd: 0;
	segmentation: { size: [number, number]; counts: string };
}

/** Scenes drawn before their files are awaited; encoding and writing run in other threads meanwhile. */
const BATCH = 64;

/** Draws `count` scenes and writes them; returns the path of the annotation file. */
export async function generateScenes(options: ScenesOptions): Promise<string> {
	const {
		count,
		seed,
		out,
		size = 64,
		categories = BUNDLED_CATEGORIES,
		styles = STYLES,
		split = "val",
		force = false,
		onProgress,
	} = options;
	checkRange("count", count, 1, 1_000_000);
	checkRange("size", size, 32, 1024);
	const chosen = chooseCategories(categories);
	await refuseFilled(out, force);
	await mkdir(join(out, split), { recursive: true });
	await mkdir(join(out, "annotations"), { recursive: true });
	const sprites = await loadSprites(chosen, { styles, resolution: Math.max(128, 2 ** Math.ceil(Math.log2(size))) });
	const images: object[] = [];
	const annotations: AnnotationRecord[] = [];
	for (let start = 0; start < count; start += BATCH) {
		const writing: Promise<void>[] = [];
		for (let index = start; index < Math.min(start + BATCH, count); index++) {
			const id = index + 1;
			const scene = drawScene(seed, index, size, sprites);
			const name = `${String(id).padStart(12, "0")}.png`;
			images.push({ id, file_name: name, width: size, height: size, license: 1 });
			for (const object of scene.objects) annotations.push(annotate(object, size, annotations.length + 1, id));
			writing.push(encodeScene(scene).then((png) => writeFile(join(out, split, name), png)));
			onProgress?.(id);
		}
		await Promise.all(writing);
	}
	const file = join(out, "annotations", `instances_${split}.json`);
	await writeFile(file, JSON.stringify({ ...header(seed, count, size, styles), images, annotations, categories: chosen }));
	return file;
}

/** The scene as PNG; equal scenes give equal bytes. */
export function encodeScene({ pixels, size }: Scene): Promise<Buffer> {
	const raw = { width: size, height: size, channels: 3 } as const;
	return sharp(pixels, { raw }).png({ compressionLevel: 6, adaptiveFiltering: true, palette: false }).toBuffer();
}

function annotate({ categoryId, mask, area, box }: Scene["objects"][number], size: number, id: number, imageId: number): AnnotationRecord {
	const counts = packCounts(maskToCounts(mask, size, size));
	return { id, image_id: imageId, category_id: categoryId, bbox: box, area, iscrowd: 0, segmentation: { size: [size, size], counts } };
}

/** COCO's own records of the named categories, by id; throws `value` for a name that the scenes cannot show. */
export function chooseCategories(names: readonly string[]): CocoCategory[] {
	const known = new Map(SCENE_CATEGORIES.map((category) => [category.name, category]));
	const chosen = names.map((name) => {
		const category = known.get(name);
		if (category) return category;
		throw new KintsugiError("value", {
			where: "categories",
			expected: `names out of ${[...known.keys()].join(", ")}`,
			found: `"${name}"`,
			fix: "correct the name or leave it out",
		});
	});
	return [...new Set(chosen)].toSorted((a, b) => a.id - b.id);
}

function checkRange(where: string, value: number, low: number, high: number): void {
	if (Number.isInteger(value) && value >= low && value <= high) return;
	throw new KintsugiError("value", { where, expected: `a whole number from ${low} to ${high}`, found: `${value}`, fix: "change it" });
}

async function refuseFilled(out: string, force: boolean): Promise<void> {
	const found = await readdir(out).catch(() => []);
	if (force || found.length === 0) return;
	const parts = { where: out, expected: "an empty or a new folder", found: `${found.length} entries` };
	throw new KintsugiError("value", { ...parts, fix: "name another folder, or pass --force to write into this one" });
}

function header(seed: number, count: number, size: number, styles: readonly Style[]) {
	return {
		info: {
			description: `Kintsugi scenes: ${count} of ${size} x ${size} pixels, seed ${seed}, styles ${styles.join(", ")}`,
			version: "1",
			year: 2026,
			contributor: "Kintsugi",
			url: "",
			date_created: "2026-01-01",
		},
		licenses: [SCENES_LICENSE],
	};
}
