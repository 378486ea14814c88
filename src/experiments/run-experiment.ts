/** @file An experiment from its file to its summary, in one folder. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SessionOptions } from "../runtime/index.ts";
import { canonicalJson } from "./digest.ts";
import type { Experiment } from "./load.ts";
import { openParts } from "./open.ts";
import { makePlan } from "./plan.ts";
import type { Progress } from "./progress.ts";
import { type FailureRow, openRecords, type RecordRow } from "./records.ts";
import { runPlan } from "./runner.ts";
import { type ArtifactStore, openStore } from "./store.ts";
import { summarise } from "./summarise.ts";
import type { Summary } from "./summary.ts";

export interface RunExperimentOptions {
	/** Folder of the run: artifacts/, records.duckdb, summary.json. A run that was interrupted there continues. */
	out: string;
	session?: SessionOptions | undefined;
	onProgress?: ((progress: Progress) => void) | undefined;
	signal?: AbortSignal | undefined;
}

export interface FinishedRun {
	summary: Summary;
	rows: RecordRow[];
	failures: FailureRow[];
	store: ArtifactStore;
	thresholds: Float32Array;
}

/** Runs an experiment, or what is left of it, and writes its summary. */
export async function runExperiment(
	experiment: Experiment,
	{ out, session, onProgress, signal }: RunExperimentOptions,
): Promise<FinishedRun> {
	const records = await openRecords(join(out, "records.duckdb"));
	try {
		const store = await openStore(join(out, "artifacts"));
		const parts = await openParts(experiment, session);
		try {
			const { repetitions, chunk, bootstrap: samples, confidence } = experiment.evaluation;
			const plan = makePlan(parts, { seed: experiment.seed, chunkSize: chunk, repetitions });
			const { rows, failures, warnings } = await runPlan(parts, plan, { store, records, onProgress, signal });
			const bootstrap = { samples, confidence };
			const summary = summarise({ name: experiment.name, parts, plan, rows, failures, warnings, bootstrap });
			await writeWhole(join(out, "summary.json"), `${JSON.stringify(JSON.parse(canonicalJson(summary)), undefined, "\t")}\n`);
			return { summary, rows, failures, store, thresholds: parts.classifier.thresholds };
		} finally {
			await parts.close();
		}
	} finally {
		records.close();
	}
}

/** Writes a file so that readers see the old one or the new one, never half of it. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
	await mkdir(join(path, ".."), { recursive: true });
	await writeFile(`${path}.new`, content);
	await rename(`${path}.new`, path);
}
