/**
 * @file A picture of what mini-inpaint paints by scheduler (rows) and number of steps (columns):
 * npx tsx bench/contact-sheet.ts [FILE] [OBJECTS]. Every cell has the same noise. Its texts need a font (fontconfig).
 */
import { writeFile } from "node:fs/promises";
import sharp from "sharp";
import { resolveModel } from "../src/hub/resolve.ts";
import { composite, maskFromBoxes } from "../src/image/mask.ts";
import { contactSheet, upscale } from "../src/image/overlay.ts";
import { resample } from "../src/image/resample.ts";
import { fromRgb, toRgb } from "../src/image/rgb.ts";
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
	["lcm", "LCM (not trained for it)"],
];
/** Side of what is shown of a scene, around its object, and how many times larger it is shown. */
const [SIDE, SCALE] = [40, 3];
const GAP = 6;
const TEXT = 24;
const LEFT = 220;

const joined = (images: readonly Tensor[]) => contactSheet(images, { columns: images.length, gap: 2 });
const maskOf = ({ input }: PaintedObject) => maskFromBoxes([input.regions[0].box], CANVAS);

function shown(image: Tensor, { input }: PaintedObject): Tensor {
	const [x, y, w, h] = input.regions[0].box;
	const start = (centre: number, whole: number) => Math.max(0, Math.min(whole - SIDE, Math.round(centre - SIDE / 2)));
	const box = [start(x + w / 2, CANVAS.width), start(y + h / 2, CANVAS.height), SIDE, SIDE] as const;
	return upscale(fromRgb(resample(toRgb(image), { height: SIDE, width: SIDE }, { box })), SCALE);
}

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
	const fits = ({ input }: PaintedObject) =>
		Math.min(...input.regions[0].box.slice(2)) >= 18 && Math.max(...input.regions[0].box.slice(2)) <= 32;
	const objects = (await chooseObjects(40)).filter(fits).slice(0, Number(count));
	const pipeline = await openInpaintPipeline((await resolveModel("mini-inpaint")).dir);
	const show = (images: readonly Tensor[]) => joined(images.map((image, i) => shown(image, objects[i])));
	const paint = async (scheduler: InpaintScheduler, steps: number) => {
		const inputs = objects.map(({ input }) => input);
		const purified = await segmentationGuided(pipeline, { scheduler, steps }).purify(inputs, { seed: 1 });
		return show(purified.map(({ image }) => image));
	};
	const scenes = objects.map(({ input }) => input.image);
	const grey = fromRgb({ ...CANVAS, data: new Uint8Array(3 * CANVAS.height * CANVAS.width).fill(128) });
	const heads = [show(scenes), show(scenes.map((scene, i) => composite(scene, grey, maskOf(objects[i]))))];
	const cells: Tensor[] = [];
	for (const [scheduler] of ROWS) for (const steps of STEPS) cells.push(await paint(scheduler, steps));
	await pipeline.close();

	const [head, sheet] = [contactSheet(heads, { columns: 2, gap: GAP }), contactSheet(cells, { columns: STEPS.length, gap: GAP })];
	const [cellHeight, cellWidth] = [cells[0].dims[1] + GAP, cells[0].dims[2] + GAP];
	const top = TEXT + head.dims[1] + TEXT;
	const [width, height] = [LEFT + sheet.dims[2], top + sheet.dims[1]];
	const picture = (image: Tensor) => {
		const { data, width: w, height: h } = toRgb(image);
		return sharp(Buffer.from(data), { raw: { width: w, height: h, channels: 3 } })
			.png()
			.toBuffer();
	};
	const prompts = objects.map(({ label }) => label).join(", ");
	const texts = [
		{ x: LEFT + GAP, y: TEXT - 4, text: `scenes: ${prompts}`, bold: true },
		{ x: LEFT + GAP + cellWidth, y: TEXT - 4, text: "what is to be painted", bold: true },
		...STEPS.map((n, i) => ({ x: LEFT + GAP + i * cellWidth, y: top - 2, text: `${n} steps`, bold: true })),
		...ROWS.map(([, text], i) => ({ x: 8, y: top + GAP + (i + 0.5) * cellHeight, text })),
	];
	const png = await sharp({ create: { width, height, channels: 3, background: "#fff" } })
		.composite([
			{ input: await picture(head), left: LEFT, top: TEXT },
			{ input: await picture(sheet), left: LEFT, top },
			{ input: svgTexts(width, height, texts), left: 0, top: 0 },
		])
		.png({ palette: true, colours: 256, effort: 10 })
		.toBuffer();
	await writeFile(file, png);
	process.stdout.write(`${file}: ${width} x ${height}, ${Math.round(png.length / 1024)} KiB\n`);
}

await main();
