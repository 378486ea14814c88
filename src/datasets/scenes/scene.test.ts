import { beforeAll, describe, expect, it } from "vitest";
import { random } from "../../tensor/random.ts";
import { COCO_CATEGORIES } from "../coco-categories.ts";
import { paintBackground } from "./backgrounds.ts";
import { BUNDLED_CATEGORIES, GLYPHS, SCENE_CATEGORIES } from "./categories.ts";
import { chooseCategories } from "./generate.ts";
import { type CategorySprites, loadSprites } from "./glyphs.ts";
import { drawScene } from "./scene.ts";

let all: CategorySprites[] = [];
beforeAll(async () => {
	all = await loadSprites(SCENE_CATEGORIES, { resolution: 32 });
});

describe("categories", () => {
	it("are COCO's 80 with their own ids", () => {
		expect(COCO_CATEGORIES).toHaveLength(80);
		const byName = Object.fromEntries(COCO_CATEGORIES.map(({ name, id }) => [name, id]));
		expect(byName).toMatchObject({ person: 1, "stop sign": 13, umbrella: 28, "hot dog": 58, tv: 72, toothbrush: 90 });
	});

	it("can be drawn: 64 of them, the bundled 24 by four styles or more", () => {
		expect(SCENE_CATEGORIES).toHaveLength(Object.keys(GLYPHS).length);
		expect(SCENE_CATEGORIES).toHaveLength(64);
		const bundled = all.filter(({ category }) => BUNDLED_CATEGORIES.includes(category.name));
		expect(bundled).toHaveLength(24);
		for (const { styles } of bundled) expect(styles.length).toBeGreaterThanOrEqual(4);
	});

	it("name no glyph that no style has", () => {
		const drawn = new Set(all.flatMap(({ styles }) => styles.flat().map(({ name }) => name)));
		const names = new Set([...drawn].map((name) => name.split(":")[1]));
		const dead = Object.values(GLYPHS)
			.flat()
			.filter((name) => !(name.includes(":") ? drawn : names).has(name));
		expect(dead).toEqual([]);
	});

	it("are refused in a style that has none", async () => {
		await expect(loadSprites(chooseCategories(["zebra"]), { styles: ["fxemoji"] })).rejects.toThrow(/a glyph for "zebra" in fxemoji/);
	});
});

describe("drawScene", () => {
	const size = 64;
	const scenes = () => Array.from({ length: 60 }, (_, i) => drawScene(5, i, size, all));

	it("shows two to eight objects, and each number of them somewhere", () => {
		const counts = new Set(scenes().map(({ objects }) => objects.length));
		expect([...counts].toSorted()).toEqual([2, 3, 4, 5, 6, 7, 8]);
	});

	it("gives boxes and areas that fit the masks, and masks that do not overlap", () => {
		for (const { objects } of scenes()) {
			const owners = new Uint8Array(size * size);
			for (const { mask, area, box } of objects) {
				const inside = [...mask.keys()].filter((at) => mask[at] === 1);
				const xs = inside.map((at) => at % size);
				const ys = inside.map((at) => Math.floor(at / size));
				const [x, y] = [Math.min(...xs), Math.min(...ys)];
				expect(area).toBe(inside.length);
				expect(area).toBeGreaterThan(20);
				expect(box).toEqual([x, y, Math.max(...xs) - x + 1, Math.max(...ys) - y + 1]);
				for (const at of inside) owners[at]++;
			}
			expect(Math.max(...owners)).toBe(1);
		}
	});

	it("is the same for the same seed and number, another for others", () => {
		const scene = drawScene(5, 3, size, all);
		expect(drawScene(5, 3, size, all)).toEqual(scene);
		expect(drawScene(5, 4, size, all).pixels).not.toEqual(scene.pixels);
		expect(drawScene(6, 3, size, all).pixels).not.toEqual(scene.pixels);
	});

	it("draws objects where their masks are", () => {
		const traffic = all.filter(({ category }) => category.name === "stop sign");
		for (let i = 0; i < 10; i++) {
			const { pixels, objects } = drawScene(1, i, size, traffic);
			for (const { mask } of objects) {
				const red = [...mask.keys()].filter((at) => mask[at] === 1 && pixels[at * 3] > pixels[at * 3 + 1] + 40);
				expect(red.length).toBeGreaterThan(0.6 * mask.reduce((n, value) => n + value, 0));
			}
		}
	});
});

describe("paintBackground", () => {
	it("gives colours in [0, 1], of many kinds", () => {
		const backgrounds = Array.from({ length: 60 }, (_, i) => paintBackground(random(1, i), 16));
		for (const background of backgrounds) for (const value of background) expect(value >= 0 && value <= 1).toBe(true);
		const spreads = backgrounds.map((background) => Math.max(...background) - Math.min(...background));
		expect(Math.min(...spreads)).toBeGreaterThan(0.02);
	});
});
