/** @file Writes the report of a finished run. */
import { join } from "node:path";
import { stringify } from "yaml";
import type { Experiment } from "../experiments/load.ts";
import { CLEAN, NO_PURIFIER, type RecordRow } from "../experiments/records.ts";
import { type FinishedRun, writeWhole } from "../experiments/run-experiment.ts";
import { makeGalleries } from "./gallery.ts";
import { type Cost, renderReport } from "./html.ts";

export interface WriteReportOptions {
	out: string;
	version: string;
}

/** Writes `report.html` into the run's folder; returns its path. */
export async function writeReport(experiment: Experiment, run: FinishedRun, { out, version }: WriteReportOptions): Promise<string> {
	const { summary, rows, failures, store, thresholds } = run;
	const { labels } = summary.experiment;
	const galleries = await makeGalleries(rows, {
		store,
		labels,
		thresholds,
		attacks: summary.attacks.map(({ attack }) => attack),
		purifiers: summary.made.purifiers.map(({ name }) => name),
		images: experiment.evaluation.gallery,
	});
	const { base: _, ...printed } = experiment;
	const html = renderReport({ summary, galleries, costs: costs(rows), failures, experiment: stringify(printed), version });
	const path = join(out, "report.html");
	await writeWhole(path, html);
	return path;
}

/** Mean time of each attack and purifier. */
function costs(rows: readonly RecordRow[]): Cost[] {
	const mean = (what: string, seconds: readonly number[]): Cost[] =>
		seconds.length === 0 ? [] : [{ what, seconds: seconds.reduce((a, b) => a + b, 0) / seconds.length, images: seconds.length }];
	const attacks = [...new Set(rows.map(({ attack }) => attack))].filter((attack) => attack !== CLEAN);
	const purifiers = [...new Set(rows.map(({ purifier }) => purifier))].filter((purifier) => purifier !== NO_PURIFIER);
	return [
		...attacks.flatMap((attack) =>
			mean(
				`attack ${attack}`,
				rows.filter((r) => r.attack === attack && r.purifier === NO_PURIFIER).map((r) => r.secondsAttack),
			),
		),
		...purifiers.flatMap((purifier) =>
			mean(
				`purify ${purifier}`,
				rows.filter((r) => r.purifier === purifier).map((r) => r.secondsPurify),
			),
		),
	];
}
