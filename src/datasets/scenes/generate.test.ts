import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCoco } from "../coco.ts";
import { annotationMask } from "../segmentation.ts";
import { BUNDLED_CATEGORIES } from "./categories.ts";
import { chooseCategories, generateScenes } from "./generate.ts";
import { loadSprites } from "./glyphs.ts";
import { drawScene } from "./scene.ts";

const SHIPPED = fileURLToPath(new URL("../../../data/scenes/", import.meta.url));
const small = { categories: ["dog", "pizza"], styles: ["fluent-emoji-flat", "fxemoji"] } as const;

let folder = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "scenes-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const generate = (name: string, count: number, seed = 4) => generateScenes({ count, seed, out: join(folder, name), ...small });
const hashes = (name: string) =>
	readdirSync(join(folder, name, "val")).map((file) =>
		createHash("sha256")
			.update(readFileSync(join(folder, name, "val", file)))
			.digest("hex"),
	);
const records = (file: string) => JSON.parse(readFileSync(file, "utf8")) as { annotations: { image_id: number }[]; images: unknown[] };

describe("generateScenes", () => {
	it("writes the same bytes for the same seed, others for another", async () => {
		const [a, b] = [await generate("a", 6), await generate("b", 6)];
		expect(hashes("a")).toEqual(hashes("b"));
		expect(readFileSync(a)).toEqual(readFileSync(b));
		await generate("c", 6, 5);
		expect(hashes("c").filter((hash) => hashes("a").includes(hash))).toEqual([]);
	});

	it("begins with the same scenes whatever the count", async () => {
		const few = records(await generate("few", 2));
		const many = records(await generate("many", 5));
		expect(hashes("many").slice(0, 2)).toEqual(hashes("few"));
		expect(many.images.slice(0, 2)).toEqual(few.images);
		expect(many.annotations.filter(({ image_id }) => image_id <= 2)).toEqual(few.annotations);
	});

	it("writes what openCoco reads: masks within their boxes", async () => {
		const done: number[] = [];
		const options = { count: 3, seed: 1, out: folder, ...small, size: 48, split: "train", onProgress: (n: number) => done.push(n) };
		const annotations = await generateScenes(options);
		expect(annotations).toBe(join(folder, "annotations", "instances_train.json"));
		expect(done).toEqual([1, 2, 3]);
		const { labels, samples } = await openCoco({ images: join(folder, "train"), annotations });
		expect(labels).toEqual(small.categories);
		for (const { path, annotations: objects = [] } of samples) {
			expect(await sharp(path).metadata()).toMatchObject({ format: "png", width: 48, height: 48, channels: 3 });
			for (const object of objects) {
				const mask = annotationMask(object, 48, 48);
				const { segmentation: _, ...boxed } = object;
				const box = annotationMask(boxed, 48, 48);
				expect(mask.some((value) => value === 1)).toBe(true);
				expect(mask.every((value, at) => value <= box[at])).toBe(true);
			}
		}
	});

	it("drew the shipped evaluation scenes from seed 3", async () => {
		const sprites = await loadSprites(chooseCategories(BUNDLED_CATEGORIES));
		const shipped = records(join(SHIPPED, "annotations/instances_val.json"));
		for (const index of [0, 199]) {
			const { pixels, objects } = drawScene(3, index, 64, sprites);
			const name = `${String(index + 1).padStart(12, "0")}.png`;
			const found = await sharp(join(SHIPPED, "val", name))
				.raw()
				.toBuffer();
			// Rasterisers of other platforms may round a glyph's edge otherwise.
			const error = pixels.reduce((sum, value, at) => sum + Math.abs(value - found[at]), 0) / pixels.length;
			expect(error).toBeLessThan(0.5);
			expect(shipped.annotations.filter(({ image_id }) => image_id === index + 1)).toHaveLength(objects.length);
		}
	});

	it("does not touch a folder that is not empty, unless forced", async () => {
		await generate("a", 1);
		await expect(generate("a", 1)).rejects.toThrow(/expected an empty or a new folder, found 2 entries/);
		await generateScenes({ count: 1, seed: 9, out: join(folder, "a"), ...small, force: true });
	});

	it("refuses unknown categories and sizes out of range", async () => {
		await expect(generateScenes({ count: 1, seed: 1, out: folder, categories: ["unicorn"] })).rejects.toThrow(/found "unicorn"/);
		await expect(generateScenes({ count: 1, seed: 1, out: folder, size: 8 })).rejects.toThrow(/size: expected a whole number from 32/);
		await expect(generateScenes({ count: 0, seed: 1, out: folder })).rejects.toThrow(/count: expected/);
	});
});
