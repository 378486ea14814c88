/**
 * @file A picture of what mini-inpaint paints by scheduler (rows) and number of steps (columns):
 * npx tsx bench/contact-sheet.ts [FILE] [OBJECTS]. Every cell has the same noise. Its texts need a font (fontconfig).
 */
import { writeFile } from "node:fs/promises";
import sharp from "sharp";
import { resolveModel } from "../src/hub/resolve.ts";
import { maskFromBoxes } from "../src/image/mask.ts";
import { contactSheet, overlayMask, upscale } from "../src/image/overlay.ts";
import { toRgb } from "../src/image/rgb.ts";
import { type InpaintScheduler, openInpaintPipeline } from "../src/purifiers/pipelines/inpaint.ts";
import { segmentationGuided } from "../src/purifiers/segmentation-guided.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { CANVAS, chooseObjects, type PaintedObject } from "./inpaint-objects.ts";

const STEPS = [4, 10, 20, 50];
const ROWS: readonly (readonly [scheduler: InpaintScheduler, text: string])[] = [
	["ddim", "DDIM"],
	["ddpm", "DDPM"],
	["euler", "Euler"],
	["euler-ancestral", "Euler ancestral"],
	["dpm-solver", "DPM-Solver++"],
	["lcm", "LCM"],
];
const SCALE = 2;
const GAP = 6;
const TEXT = 22;
const LEFT = 150;

const joined = (images: readonly Tensor[]) => contactSheet(images, { columns: images.length, gap: 2 });

/** The scene, and the scene with its mask. */
const given = (objects: readonly PaintedObject[]) =>
	joined(
		objects.map(({ input: { image, regions } }) =>
			upscale(
				overlayMask(
					image,
					maskFromBoxes(
						regions.map(({ box }) => box),
						CANVAS,
					),
				),
				SCALE,
			),
		),
	);

function svgTexts(width: number, height: number, texts: readonly { x: number; y: number; text: string; bold?: boolean }[]): Buffer {
	const lines = texts.map(
		({ x, y, text, bold }) => `<text x="${x}" y="${y}" font-weight="${bold ? "bold" : "normal"}">${text.replaceAll("&", "&amp;")}</text>`,
	);
	return Buffer.from(
		`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="16" fill="#222">${lines.join("")}</svg>`,
	);
}

async function main(): Promise<void> {
	const [file = "docs/images/inpaint-schedulers.png", count = "3"] = process.argv.slice(2);
	const objects = (await chooseObjects(24))
		.filter(({ input }) => input.regions[0].box[2] * input.regions[0].box[3] > 500)
		.slice(0, Number(count));
	const pipeline = await openInpaintPipeline((await resolveModel("mini-inpaint")).dir);
	const paint = async (scheduler: InpaintScheduler, steps: number) => {
		const purified = await segmentationGuided(pipeline, { scheduler, steps }).purify(
			objects.map(({ input }) => input),
			{ seed: 1 },
		);
		return joined(purified.map(({ image }) => upscale(image, SCALE)));
	};
	const cells: Tensor[] = [];
	for (const [scheduler] of ROWS) for (const steps of STEPS) cells.push(await paint(scheduler, steps));
	await pipeline.close();

	const [head, sheet] = [given(objects), contactSheet(cells, { columns: STEPS.length, gap: GAP })];
	const [cellHeight, cellWidth] = [head.dims[1] + GAP, head.dims[2] + GAP];
	const top = TEXT + cellHeight + TEXT;
	const [width, height] = [LEFT + sheet.dims[2], top + sheet.dims[1]];
	const picture = (image: Tensor) => {
		const { data, width: w, height: h } = toRgb(image);
		return sharp(Buffer.from(data), { raw: { width: w, height: h, channels: 3 } })
			.png()
			.toBuffer();
	};
	const prompts = objects.map(({ label }) => label).join(", ");
	const texts = [
		{ x: LEFT + GAP, y: TEXT - 6, text: `Scenes with their masks: ${prompts}`, bold: true },
		...STEPS.map((n, i) => ({ x: LEFT + GAP + i * cellWidth, y: top - 6, text: `${n} steps`, bold: true })),
		...ROWS.map(([, text], i) => ({ x: 8, y: top + GAP + (i + 0.5) * cellHeight, text })),
	];
	const png = await sharp({ create: { width, height, channels: 3, background: "#fff" } })
		.composite([
			{ input: await picture(head), left: LEFT + GAP, top: TEXT },
			{ input: await picture(sheet), left: LEFT, top },
			{ input: svgTexts(width, height, texts), left: 0, top: 0 },
		])
		.png({ palette: true, colours: 256, effort: 10 })
		.toBuffer();
	await writeFile(file, png);
	process.stdout.write(`${file}: ${width} x ${height}, ${Math.round(png.length / 1024)} KiB\n`);
}

await main();
