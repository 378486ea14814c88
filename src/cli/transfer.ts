/** @file `kintsugi transfer`: what attacks on one classifier do to the others. */
import { join } from "node:path";
import { Command } from "commander";
import { type Experiment, loadExperiment } from "../experiments/load.ts";
import { writeWhole } from "../experiments/run-experiment.ts";
import { runTransfer } from "../experiments/transfer/run.ts";
import { textTable } from "../reports/tables.ts";
import { classifierTable, successTables, transferMarkdown, transferPage } from "../reports/transfer.ts";
import { positiveNumber, wholeNumber, withGlobals } from "./options.ts";
import type { RunFlags } from "./run.ts";
import { note, printResult, progressPrinter, untilInterrupted, version } from "./terminal.ts";

const MANUAL = `
Attacks the experiment's classifier and each one under its key \`transfer\`, with every attack of the file, and shows the adversarial
images to all of them: a matrix of success, with n and 95 % intervals. All classifiers get the same 8-bit canvas. Labels are
matched by name; every decision is made among the labels that the data set and all classifiers know. Detectors and purifiers of the
file play no part.

Files written to DIR:
  transfer.html   one page with a matrix for each attack
  transfer.md     the same tables as Markdown
  transfer.json   the same numbers; equal bytes for equal experiments
  artifacts/      every picture and prediction: an interrupted run continues when the same command is given again

Exit codes: 0 the matrix was written; 1 failed or stopped; 2 wrong use.

Examples:
  $ kintsugi transfer experiments/transfer.yaml
  $ kintsugi transfer experiments/transfer.yaml --count 20 --out runs/try`;

/** The command `transfer`. */
export function transferCommand(): Command {
	return withGlobals(
		new Command("transfer")
			.description("attack each of several classifiers and measure all of them on the adversarial images")
			.argument("<experiment>", "experiment file (YAML) with other classifiers under `transfer`")
			.option("--out <dir>", "folder of the run (default: runs/NAME, NAME as in the file)")
			.option("--count <n>", "use this many images instead of the number in the file", positiveNumber)
			.option("--seed <n>", "use this seed instead of the one in the file", wholeNumber)
			.option("--threads <n>", "threads of one operator; another number may change the last bits of results", positiveNumber, 2),
	)
		.addHelpText("after", MANUAL)
		.action(transferFile);
}

async function transferFile(file: string, { count, seed, threads, ...flags }: RunFlags): Promise<void> {
	const loaded = await loadExperiment(file);
	const experiment: Experiment = {
		...loaded,
		...(seed === undefined ? {} : { seed }),
		data: { ...loaded.data, ...(count === undefined ? {} : { count }) },
	};
	const out = flags.out ?? join("runs", experiment.name);
	const progress = progressPrinter(flags);
	const session = threads === undefined ? {} : { threads };
	const summary = await untilInterrupted((signal) =>
		runTransfer(experiment, { out, session, signal, onProgress: progress.update }).finally(progress.stop),
	);
	const [markdown, html] = [join(out, "transfer.md"), join(out, "transfer.html")];
	await writeWhole(markdown, transferMarkdown(summary));
	await writeWhole(html, transferPage(summary, version()));
	const tables = [classifierTable(summary), ...successTables(summary)].map(textTable).join("\n\n");
	printResult(flags, `${tables}\n\nPage: ${html}\nMarkdown: ${markdown}`, { out, page: html, markdown, summary });
	for (const warning of summary.warnings) note(flags, `warning: ${warning}`);
}
