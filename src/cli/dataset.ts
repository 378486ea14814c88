/** @file `kintsugi dataset`: builds data sets of adversarial images, and checks them again. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import { stringify } from "yaml";
import { buildAdversarialDataset } from "../datasets/adversarial/build.ts";
import { readBuild } from "../datasets/adversarial/recipe.ts";
import { type Fault, verifyAdversarialDataset } from "../datasets/adversarial/verify.ts";
import { KintsugiError } from "../errors.ts";
import { canvasLoader, experimentOfRecipe, isBundled, openDatasetParts, toolVersions } from "../experiments/adversarial-dataset.ts";
import { type Experiment, loadExperiment, parseExperiment } from "../experiments/load.ts";
import { canvasOptions, openClassifier } from "../experiments/open.ts";
import { wilson } from "../metrics/intervals.ts";
import { datasetCard } from "../reports/dataset-card.ts";
import { interval } from "../reports/format.ts";
import { textTable } from "../reports/tables.ts";
import { type AttackOptionFlags, attackOf } from "./attack.ts";
import { commaList, keyValue, positiveNumber, wholeNumber, withGlobals } from "./options.ts";
import { type Globals, INCOMPLETE, note, printResult, progressPrinter, untilInterrupted } from "./terminal.ts";

const BUILD_MANUAL = `
Attacks every image with every attack and writes a data set that Python's datasets, pycocotools and FiftyOne load as it is:

  README.md            card: how strong, columns, recipe, licences by image, limits
  metadata.jsonl       a row an image and attack (Hugging Face ImageFolder)
  images/ATTACK/*.png  adversarial images, 8 bits; success is measured after reading them back
  clean/*.png          the images before the attack (not with --no-clean)
  deltas/ATTACK/*.npy  the change before rounding, float16 (with --deltas)
  data/ATTACK/*.parquet, annotations/ATTACK.json, build.json
                       rows with pictures; boxes and masks in COCO's format; recipe, versions, sha256 of all files

Data, classifier and attacks come from an experiment file, or from the options below it. A row is written once its picture is
safe on the disk; a build that was stopped or killed continues when the same command is given again, and ends with the same
bytes. Another recipe is refused: choose a new folder. docs/dataset.md tells more.

Exit codes: 0 built; 1 failed, stopped, or some images could not be used (the others are in); 2 wrong use.

Examples:
  $ kintsugi dataset build experiments/bundled.yaml --attacks fgsm-0.05,pgd-all-8/255 --out runs/scenes-adversarial
  $ kintsugi dataset build experiments/coco-yolox.yaml --attacks pgd-4/255 --licenses 4,5,7,8 --out runs/photographs
  $ kintsugi dataset build --images photos/ --attack pgd --epsilon 4/255 --canvas 128 --out runs/mine`;

const VERIFY_MANUAL = `
Reads everything back and checks: the sha256 of every file, the form of every picture, that every change keeps to its budget,
that every image is a success or a failure as its row says (the classifier looks at all of them again), and that nothing is
missing or left over. Every fault is a line on stdout.

Exit codes: 0 all as it should be; 1 faults; 2 wrong use.

Examples:
  $ kintsugi dataset verify runs/scenes-adversarial
  $ kintsugi dataset verify runs/photographs --model ../shared/models/yolox_nano.onnx
  $ kintsugi dataset verify runs/mine --no-classifier --json`;

interface BuildFlags extends Globals, AttackOptionFlags {
	out: string;
	attacks?: string[];
	licenses?: number[];
	count?: number;
	clean: boolean;
	deltas?: boolean;
	threads: number;
	seed?: number;
	images?: string;
	coco?: string;
	classifier: string;
	labels?: string[];
	canvas: number;
	policy: string;
}

interface VerifyFlags extends Globals {
	model?: string;
	images?: string;
	classifier: boolean;
	threads?: number;
}

/** The command `dataset` with `build` and `verify`. */
export function datasetCommand(): Command {
	return new Command("dataset")
		.description("build and verify data sets of adversarial images")
		.addCommand(buildCommand())
		.addCommand(verifyCommand())
		.addHelpText("after", "\n`kintsugi dataset build --help` and `kintsugi dataset verify --help` tell all.");
}

function buildCommand(): Command {
	const command = new Command("build")
		.description("build a data set of adversarial images, or continue it")
		.argument("[experiment]", "experiment file (YAML) with data, classifier and attacks")
		.requiredOption("-o, --out <dir>", "folder of the data set: new, or begun by the same command")
		.option("--attacks <names>", "only these attacks of the experiment file, with commas between", commaList)
		.option("--licenses <ids>", "only images under these licences, by their ids in the annotation file", idList)
		.option("--count <n>", "use this many images, drawn by the seed", positiveNumber)
		.option("--seed <n>", "seed of all random draws (default: the file's, or 0)", wholeNumber)
		.option("--no-clean", "do not store the images before the attack")
		.option("--deltas", "store the changes before rounding, as float16")
		.option("--threads <n>", "threads of one operator; another number may change the last bits", positiveNumber, 2)
		.addOption(new Option("--images <dir>", "folder of the images, where no experiment file is given").helpGroup("Without a file:"))
		.option("--coco <file>", "their annotations in COCO's format")
		.option("--classifier <model>", "CLIP model: a bundled name or a folder", "mini-clip")
		.option("--labels <names>", "labels to choose between (default: those of the annotations, or of the classifier)", commaList)
		.option("--canvas <pixels>", "side of the square canvas", positiveNumber, 64)
		.option("--policy <name>", "crop, stretch or letterbox", "crop")
		.option("--attack <name>", "the attack", "fgsm")
		.option("--epsilon <amount>", "radius of the allowed change: 0.05 or 8/255 (default: the preset's)")
		.option("--target <rule>", "targeted attack: random, least-likely, second-best, or a label")
		.option("--preset <name>", "whose defaults fill the other options of the attack")
		.option("--set <key=value>", "any other option of the attack; repeatable", keyValue);
	return withGlobals(command).addHelpText("after", BUILD_MANUAL).action(buildDataset);
}

function verifyCommand(): Command {
	const command = new Command("verify")
		.description("check every hash, budget and success of a data set again")
		.argument("<folder>", "folder of the data set")
		.option("--model <path>", "the classifier's file or folder, where it is not a bundled one")
		.option("--images <dir>", "folder of the source images, where the data set does not store the clean ones")
		.option("--no-classifier", "check hashes and budgets only")
		.option("--threads <n>", "threads of one operator (default: as when it was built)", positiveNumber);
	return withGlobals(command).addHelpText("after", VERIFY_MANUAL).action(verifyDataset);
}

const idList = (text: string): number[] => commaList(text).map(wholeNumber);

async function experimentOf(file: string | undefined, flags: BuildFlags): Promise<Experiment> {
	const { images, coco, classifier, labels, canvas, policy, count, seed } = flags;
	if ((file === undefined) === (images === undefined)) {
		throw new KintsugiError("usage", {
			where: "kintsugi dataset build",
			expected: "either an experiment file or --images",
			found: file === undefined ? "neither" : "both",
			fix: "give one of them",
		});
	}
	const { as: _, ...attack } = attackOf(flags);
	const described = {
		name: "command-line",
		data: { images, ...(coco === undefined ? {} : { coco }), canvas: { size: canvas, policy } },
		classifier: { kind: "clip", model: classifier, ...(labels ? { labels } : {}) },
		attacks: [Object.fromEntries(Object.entries(attack).filter(([, value]) => value !== undefined))],
	};
	const loaded =
		file === undefined ? parseExperiment(stringify(described), { file: "command line", lines: false }) : await loadExperiment(file);
	return {
		...loaded,
		...(seed === undefined ? {} : { seed }),
		data: { ...loaded.data, ...(count === undefined ? {} : { count }) },
	};
}

/** Progress with the time left, which is counted from the first picture made here. */
function timed(flags: Globals) {
	const printer = progressPrinter(flags);
	let first: { done: number; at: number } | undefined;
	return {
		update({ stage, done, total }: { stage: string; done: number; total: number }) {
			first ??= { done, at: performance.now() };
			const rate = (done - first.done) / (performance.now() - first.at);
			printer.update({ stage, done, total, secondsLeft: rate > 0 ? (total - done) / rate / 1000 : undefined });
		},
		stop: printer.stop,
	};
}

async function buildDataset(file: string | undefined, flags: BuildFlags): Promise<void> {
	const { out, attacks, licenses, clean, deltas = false, threads } = flags;
	const experiment = await experimentOf(file, flags);
	const { parts, recipe } = await openDatasetParts(experiment, { attacks, licenses, clean, deltas, threads });
	const progress = timed(flags);
	const { build, statistics, kept } = await untilInterrupted((signal) =>
		buildAdversarialDataset(parts, { out, recipe, versions: toolVersions(), card: datasetCard, onProgress: progress.update, signal }),
	).finally(async () => {
		progress.stop();
		await parts.classifier.close();
	});
	if (kept > 0) note(flags, `${kept} images were there already`);
	const table = {
		title: `${statistics.rows} adversarial images of ${statistics.images}`,
		columns: ["attack (static)", "n", "success, read back", "before rounding", "already fooled", "largest change"],
		rows: statistics.attacks.map((a) => {
			const n = a.images - a.alreadyFooled;
			const shares = [a.successes, a.successesBeforeRounding].map((k) => interval(wilson(k, n)));
			return [a.attack, String(n), ...shares, String(a.alreadyFooled), `${Math.round(a.linf * 255)}/255`];
		}),
	};
	printResult(flags, `${textTable(table)}\n\nData set: ${out}`, {
		out,
		kept,
		recipe: build.recipe_sha256,
		statistics,
		skipped: build.skipped,
	});
	for (const { source_file, reason } of build.skipped) process.stderr.write(`skipped: ${source_file}: ${reason}\n`);
	if (build.skipped.length > 0) throw INCOMPLETE;
}

async function verifyDataset(folder: string, flags: VerifyFlags): Promise<void> {
	const { model, images, threads } = flags;
	const build = await readBuild(folder);
	const recipe = build?.recipe;
	const experiment = recipe && experimentOfRecipe(recipe, { ...(model ? { model } : {}), ...(images ? { images } : {}) });
	if (!recipe || !experiment) {
		throw new KintsugiError("dataset", { where: folder, expected: "a data set with build.json", found: "none", fix: "check the path" });
	}
	if (!recipe.store.clean && images === undefined)
		demand("images", "clean images, which this data set does not store", "the source images");
	if (flags.classifier && model === undefined && !isBundled(experiment.classifier.model)) {
		demand("model", "the classifier that was attacked", experiment.classifier.model);
	}
	const canvas = canvasOptions(experiment);
	const session = { threads: threads ?? recipe.threads };
	const classifier = flags.classifier
		? await openClassifier(experiment.classifier, { base: process.cwd(), canvas, labels: [], session })
		: undefined;
	const load = canvasLoader(experiment);
	const faults: Fault[] = [];
	const progress = timed(flags);
	const verified = await untilInterrupted((signal) =>
		verifyAdversarialDataset({
			folder,
			classifier,
			attacks: new Map(experiment.attacks.map(({ name, spec }) => [name, spec])),
			clean: async ({ source_file }) => {
				const bytes = await readFile(join(experiment.data.images, source_file)).catch(() => undefined);
				return bytes && (await load(bytes, source_file)).canvas;
			},
			onFault(fault) {
				faults.push(fault);
				if (!flags.json) process.stdout.write(`${fault.where}: expected ${fault.expected}, found ${fault.found}\n`);
			},
			onProgress: progress.update,
			signal,
		}),
	).finally(async () => {
		progress.stop();
		await classifier?.close();
	});
	const { rows, files, budgets, successes, logitDifference } = verified;
	const seen = classifier ? `, successes of ${successes} (logits differ by at most ${logitDifference.toPrecision(2)})` : "";
	const text = `${faults.length === 0 ? "sound" : `${faults.length} faults`}: ${files} files, ${rows} rows; checked budgets of ${budgets}${seen}`;
	printResult(flags, text, { folder, ...verified, list: faults });
	if (faults.length > 0) throw INCOMPLETE;
}

function demand(option: string, expected: string, found: string): never {
	throw new KintsugiError("usage", {
		where: "kintsugi dataset verify",
		expected,
		found: `${found} nowhere`,
		fix: `name it with --${option}`,
	});
}
