/** @file `kintsugi calibrate`: thresholds above which labels count as present. */
import { dirname, join } from "node:path";
import { Command, Option } from "commander";
import { KintsugiError } from "../errors.ts";
import { type Calibration, calibrate, METHODS, MIN_POSITIVES } from "../experiments/calibrate.ts";
import { loadExperiment } from "../experiments/load.ts";
import { writeWhole } from "../experiments/run-experiment.ts";
import { textTable } from "../reports/tables.ts";
import { positiveNumber, wholeNumber, withGlobals } from "./options.ts";
import { type Globals, lateProgress, note, printResult, untilInterrupted } from "./terminal.ts";

const MANUAL = `
A classifier of several labels needs a threshold for each: the logit above which the label counts as present. Criteria such as
set-changed and any-true-label-lost, the loss bce, and precision, recall and F1 all depend on them. This command finds them from
annotated images. Those that the experiment evaluates are never used, whatever they are called: files are compared by their bytes.

  per-label   each label's own F1 is maximised; a label with fewer than --min-positives images gets the global threshold
  global      one threshold for all labels, which maximises F1 of all decisions together

The file holds the thresholds, how they were found and from what. Name it in the experiment: classifier: { thresholds: FILE, ... }.
F1 on the calibration images flatters the thresholds; \`kintsugi run\` measures them on images that they have not seen.

Exit codes: 0 the file was written; 1 failed, or no image was left to learn from; 2 wrong use.

Examples:
  $ kintsugi calibrate experiments/coco-yolox.yaml --coco train.json --images train/
  $ kintsugi calibrate half.yaml                       # half.yaml sets data.count: the images that it leaves out are used
  $ kintsugi calibrate half.yaml --method global --out global.json`;

interface CalibrateFlags extends Globals {
	method: (typeof METHODS)[number];
	minPositives: number;
	count?: number;
	coco?: string;
	images?: string;
	out?: string;
	threads: number;
}

/** The command `calibrate`. */
export function calibrateCommand(): Command {
	return withGlobals(
		new Command("calibrate")
			.description("find the thresholds above which labels count as present")
			.argument("<experiment>", "experiment file (YAML): its classifier, canvas and labels")
			.option("--coco <file>", "annotations of the calibration images (default: the experiment's data set)")
			.option("--images <dir>", "folder of the calibration images")
			.option("--count <n>", "use this many of them, drawn by the experiment's seed", positiveNumber)
			.addOption(new Option("--method <name>", "what is maximised").choices(METHODS).default("per-label"))
			.option("--min-positives <n>", "images that a label needs for a threshold of its own", wholeNumber, MIN_POSITIVES)
			.option("--out <file>", "file to write (default: NAME.thresholds.json beside the experiment file)")
			.option("--threads <n>", "threads of one operator", positiveNumber, 2),
	)
		.addHelpText("after", MANUAL)
		.action(calibrateFile);
}

async function calibrateFile(file: string, flags: CalibrateFlags): Promise<void> {
	const { coco, images, count, method, minPositives, threads } = flags;
	if ((coco === undefined) !== (images === undefined)) {
		throw new KintsugiError("usage", {
			where: "calibrate",
			expected: "both --coco and --images",
			found: "one of them",
			fix: "give both, or neither",
		});
	}
	const experiment = await loadExperiment(file);
	const out = flags.out ?? join(dirname(file), `${experiment.name}.thresholds.json`);
	const progress = lateProgress(flags);
	const data = coco !== undefined && images !== undefined ? { coco, images } : undefined;
	const onProgress = (done: number, total: number) => progress.update({ stage: "classify", done, total, secondsLeft: undefined });
	const calibration = await untilInterrupted((signal) =>
		calibrate(experiment, { data, count, method, minPositives, session: { threads }, signal, onProgress }).finally(progress.stop),
	);
	await writeWhole(out, `${JSON.stringify(calibration, undefined, "\t")}\n`);
	printResult(flags, `${describe(calibration)}\n\nThresholds: ${out}`, { file: out, ...calibration });
	if (calibration.data.skipped > 0) note(flags, `skipped: ${calibration.data.skipped} images that cannot be read`);
}

function describe({ labels, quality, data, classifier }: Calibration): string {
	const f1 = (value: number | null) => (value === null ? "n/a" : value.toFixed(2));
	const table = textTable({
		title: `Thresholds of ${classifier} from ${data.images} images of ${data.name} (F1 on the same images)`,
		columns: ["label", "images with it", "threshold (logit)", "F1"],
		rows: Object.entries(labels).map(([label, { threshold, positives, f1: own }]) => [
			label,
			String(positives),
			threshold.toFixed(3),
			f1(own),
		]),
	});
	const { before, calibrated } = quality;
	return `${table}\n\nCF1 ${f1(before.CF1)} -> ${f1(calibrated.CF1)}, OF1 ${f1(before.OF1)} -> ${f1(calibrated.OF1)} on the calibration images`;
}
