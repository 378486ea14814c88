/** @file Reads glyphs from the installed emoji sets and rasterises them into sprites. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import sharp from "sharp";
import { KintsugiError } from "../../errors.ts";
import type { CocoCategory } from "../coco-categories.ts";
import { GLYPHS } from "./categories.ts";
import { makeSprite, type Sprite } from "./sprite.ts";

/** Art styles: the emoji sets of the npm scope @iconify-json. */
export const STYLES = ["noto", "fluent-emoji", "fluent-emoji-flat", "fxemoji", "twemoji"] as const;
export type Style = (typeof STYLES)[number];

/** One category with its sprites, grouped by style so that a style with many glyphs is not drawn more often. */
export interface CategorySprites {
	category: CocoCategory;
	styles: readonly (readonly Sprite[])[];
}

interface Icon {
	body: string;
	left?: number;
	top?: number;
	width?: number;
	height?: number;
}

interface IconSet {
	icons: Record<string, Icon>;
	aliases?: Record<string, { parent: string }>;
	width: number;
	height: number;
}

/** Sprites of the given categories in the given styles; throws `dataset` if a set is not installed or draws none of a category. */
export async function loadSprites(
	categories: readonly CocoCategory[],
	{
		styles = STYLES,
		resolution = 128,
	}: { styles?: readonly Style[] /** Longer side of the rasterised glyph. */; resolution?: number } = {},
): Promise<CategorySprites[]> {
	const sets = await Promise.all(styles.map(async (style) => ({ style, set: await readIconSet(style) })));
	return Promise.all(
		categories.map(async (category) => {
			const perStyle = await Promise.all(sets.map(({ style, set }) => spritesOf(category.name, style, set, resolution)));
			const drawn = perStyle.filter((sprites) => sprites.length > 0);
			if (drawn.length === 0) {
				throw new KintsugiError("value", {
					where: "scenes",
					expected: `a glyph for "${category.name}" in ${styles.join(", ")}`,
					found: "none",
					fix: "leave the category out, or allow more styles",
				});
			}
			return { category, styles: drawn };
		}),
	);
}

async function readIconSet(style: Style): Promise<IconSet> {
	try {
		return JSON.parse(await readFile(createRequire(import.meta.url).resolve(`@iconify-json/${style}/icons.json`), "utf8")) as IconSet;
	} catch (cause) {
		const where = `art style "${style}"`;
		const parts = { where, expected: `the package @iconify-json/${style}`, found: "none installed" };
		throw new KintsugiError("dataset", { ...parts, fix: `run npm install @iconify-json/${style}, or leave the style out` }, { cause });
	}
}

async function spritesOf(category: string, style: Style, set: IconSet, resolution: number): Promise<Sprite[]> {
	const names = (GLYPHS[category] ?? []).flatMap((entry) => {
		const [owner, name] = entry.includes(":") ? entry.split(":") : [style, entry];
		return owner === style ? [name] : [];
	});
	const found = names.flatMap((name) => {
		const icon = set.icons[name] ?? set.icons[set.aliases?.[name]?.parent ?? ""];
		return icon ? [{ name, icon }] : [];
	});
	return Promise.all(found.map(({ name, icon }) => rasterise(`${style}:${name}`, icon, set, resolution)));
}

async function rasterise(name: string, icon: Icon, set: IconSet, resolution: number): Promise<Sprite> {
	const width = icon.width ?? set.width;
	const height = icon.height ?? set.height;
	const scale = resolution / Math.max(width, height);
	const svg =
		`<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
		`viewBox="${icon.left ?? 0} ${icon.top ?? 0} ${width} ${height}" ` +
		`width="${Math.round(width * scale)}" height="${Math.round(height * scale)}">${icon.body}</svg>`;
	const { data, info } = await sharp(Buffer.from(svg)).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
	return makeSprite(name, data, info.width, info.height);
}
