/** @file `kintsugi run`: an experiment file from start to report. */
import { join } from "node:path";
import { Command } from "commander";
import { type Experiment, loadExperiment } from "../experiments/load.ts";
import { type FinishedRun, runExperiment } from "../experiments/run-experiment.ts";
import { duration } from "../reports/format.ts";
import { writeReport } from "../reports/report.ts";
import { shortTable, textTable } from "../reports/tables.ts";
import { positiveNumber, wholeNumber, withGlobals } from "./options.ts";
import { type Globals, INCOMPLETE, note, printResult, progressPrinter, untilInterrupted, version } from "./terminal.ts";

export const RUN_FILES = `
Files written to DIR:
  report.html      figures, images, tables, options and hashes: one page that needs no network
  summary.json     the same numbers; equal bytes for equal experiments (no times, dates or paths)
  records.duckdb   one row an image, attack, purifier and repetition
  artifacts/       every picture and prediction, named by what made it

An interrupted run (Ctrl-C, a crash, a power cut) continues when the same command is given again, and ends with the same
summary. A changed option recomputes only what depends on it. An image that cannot be used is recorded, named at the end and
in the report, and skipped.

Exit codes:
  0  the report was written; images that were skipped are named on stderr
  1  failed or stopped, or no image was left
  2  wrong use: a command, option or experiment file that cannot be understood`;

const MANUAL = `
Runs an experiment file: images -> canvas -> attack -> regions -> purification -> classification -> records -> report.
The files in experiments/ of this package show every part; docs/options.md lists all options.
${RUN_FILES}

Examples:
  $ kintsugi run experiments/bundled.yaml
  $ kintsugi run experiments/bundled.yaml --count 20 --out runs/try
  $ kintsugi run experiments/coco-yolox.yaml --json > result.json`;

export interface RunFlags extends Globals {
	out?: string;
	count?: number;
	seed?: number;
	threads?: number;
}

/** The command `run`. */
export function runCommand(): Command {
	return withGlobals(
		new Command("run")
			.description("run an experiment file, or continue it, and write its report")
			.argument("<experiment>", "experiment file (YAML)")
			.option("--out <dir>", "folder of the run (default: runs/NAME, NAME as in the file)")
			.option("--count <n>", "use this many images instead of the number in the file", positiveNumber)
			.option("--seed <n>", "use this seed instead of the one in the file", wholeNumber)
			.option("--threads <n>", "threads of one operator; another number may change the last bits of results", positiveNumber, 2),
	)
		.addHelpText("after", MANUAL)
		.action(async (file: string, flags: RunFlags) => runFile(file, flags));
}

/** Runs an experiment file with the overrides of the command line, and prints table and paths. */
export async function runFile(file: string, flags: RunFlags): Promise<void> {
	const loaded = await loadExperiment(file);
	const { count, seed, threads } = flags;
	const experiment: Experiment = {
		...loaded,
		...(seed === undefined ? {} : { seed }),
		data: { ...loaded.data, ...(count === undefined ? {} : { count }) },
	};
	const out = flags.out ?? join("runs", experiment.name);
	const started = performance.now();
	const progress = progressPrinter(flags);
	const session = threads === undefined ? {} : { threads };
	const run = await untilInterrupted((signal) =>
		runExperiment(experiment, { out, session, signal, onProgress: progress.update }).finally(progress.stop),
	);
	const report = await writeReport(experiment, run, { out, version: version() });
	const seconds = (performance.now() - started) / 1000;
	const { summary } = run;
	printResult(
		flags,
		`${textTable(shortTable(summary))}\n\nReport: ${report}\nSummary: ${join(out, "summary.json")}\nTime: ${duration(seconds)}`,
		{ report, out, seconds: Number(seconds.toFixed(1)), summary },
	);
	tellNotes(flags, run);
}

function tellNotes(flags: Globals, { summary, failures }: FinishedRun): void {
	for (const warning of summary.warnings) note(flags, `warning: ${warning}`);
	for (const { image, stage, message } of failures) note(flags, `skipped: image ${image} at ${stage}: ${message}`);
	const { images, failed } = summary.experiment;
	if (failed === images) throw INCOMPLETE;
}
