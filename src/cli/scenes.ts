/** @file `kintsugi scenes`: draws a data set of scenes. */
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { BUNDLED_CATEGORIES, SCENE_CATEGORIES } from "../datasets/scenes/categories.ts";
import { chooseCategories, generateScenes, type ScenesOptions } from "../datasets/scenes/generate.ts";
import { STYLES, type Style } from "../datasets/scenes/glyphs.ts";
import { KintsugiError } from "../errors.ts";

const MANUAL = `
Draws COCO-like scenes, two to eight objects on a procedural background, and writes them in the official COCO format:
DIR/annotations/instances_SPLIT.json (boxes; masks of the visible pixels as run lengths) and DIR/SPLIT/000000000001.png ...
The same seed gives the same bytes, and scene number i does not depend on --count. The glyphs come from the npm packages
@iconify-json/{${STYLES.join(",")}}.

Categories:
  bundled  ${wrap(BUNDLED_CATEGORIES.join(", "))}
  all      ${wrap(SCENE_CATEGORIES.map(({ name }) => name).join(", "))}

Examples:
  $ kintsugi scenes --count 500 --seed 7 --out runs/scenes
  $ kintsugi scenes --count 20 --seed 1 --out runs/traffic --categories "bus,car,traffic light,stop sign" --size 128`;

interface Flags extends Omit<ScenesOptions, "onProgress"> {
	json?: boolean;
}

/** The command `scenes`. */
export function scenesCommand(): Command {
	return new Command("scenes")
		.description("draw COCO-like scenes with boxes and masks")
		.requiredOption("--count <n>", "number of scenes", wholeNumber)
		.requiredOption("--out <dir>", "folder to write to: new or empty, unless --force")
		.option("--seed <n>", "seed of the stream of scenes", wholeNumber, 0)
		.option("--size <pixels>", "side of the square canvas", wholeNumber, 64)
		.option("--categories <names>", "bundled, all, or COCO names with commas between", categoryNames, [...BUNDLED_CATEGORIES])
		.option("--styles <names>", "art styles with commas between", styleNames, [...STYLES])
		.option("--split <name>", "name of the split: the image folder, and part of the annotation file's name", splitName, "val")
		.option("--force", "write into a folder that is not empty")
		.option("--json", "print one JSON object instead of a sentence")
		.configureHelp({ optionDescription: describe })
		.addHelpText("after", MANUAL)
		.action(run);
}

async function run({ json = false, ...options }: Flags): Promise<void> {
	const bar = delayedBar(options.count);
	const annotations = await generateScenes({ ...options, onProgress: bar.update })
		.catch(asUsage)
		.finally(bar.stop);
	const text = json ? JSON.stringify({ scenes: options.count, annotations }) : `Drew ${options.count} scenes: ${annotations}`;
	process.stdout.write(`${text}\n`);
}

/** What the library calls a wrong argument is, here, a wrong use of the command. */
function asUsage(error: unknown): never {
	throw error instanceof KintsugiError && error.code === "value" ? new KintsugiError("usage", error.parts, { cause: error }) : error;
}

/** A progress bar on stderr that appears after two seconds, and only on a terminal. */
function delayedBar(total: number): { update(done: number): void; stop(): void } {
	const started = performance.now();
	const bar = new SingleBar({ format: "scenes {bar} {value}/{total}, {eta_formatted} left", stream: process.stderr, hideCursor: true });
	let shown = false;
	return {
		update(done) {
			if (!process.stderr.isTTY) return;
			if (shown) return bar.update(done);
			if (performance.now() - started < 2000) return;
			bar.start(total, done);
			shown = true;
		},
		stop: () => bar.stop(),
	};
}

/** Long default lists are named, not printed. */
function describe(option: { description: string; attributeName(): string; defaultValue?: unknown }): string {
	const named: Record<string, string> = { categories: "bundled", styles: "all" };
	const standard = named[option.attributeName()] ?? option.defaultValue;
	return standard === undefined ? option.description : `${option.description} (default: ${standard})`;
}

function wholeNumber(text: string): number {
	if (/^\d{1,10}$/.test(text)) return Number(text);
	throw new InvalidArgumentError("Expected a whole number.");
}

function splitName(text: string): string {
	if (/^[\w-]+$/.test(text)) return text;
	throw new InvalidArgumentError("Expected letters, digits, - and _ only.");
}

function categoryNames(text: string): string[] {
	if (text === "bundled") return [...BUNDLED_CATEGORIES];
	if (text === "all") return SCENE_CATEGORIES.map(({ name }) => name);
	const names = list(text);
	try {
		chooseCategories(names);
	} catch (error) {
		throw error instanceof KintsugiError ? new InvalidArgumentError(error.message) : error;
	}
	return names;
}

function styleNames(text: string): Style[] {
	return list(text).map((name) => {
		const style = STYLES.find((known) => known === name);
		if (style) return style;
		throw new InvalidArgumentError(`Expected names out of ${STYLES.join(", ")}.`);
	});
}

const list = (text: string) => text.split(",").map((name) => name.trim());

/** Lines of up to 100 characters that end after a name. */
function wrap(names: string): string {
	return names.replace(/(.{1,100}$|.{1,100},) ?/g, "$1\n           ").trim();
}
