/** @file What is made from the rows once all are there: COCO copies, Parquet shards, notice, card, hashes. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { hashFile } from "../../hub/hash.ts";
import { packageRoot } from "../../hub/package-root.ts";
import type { Dataset } from "../dataset.ts";
import { SCENES_LICENSE } from "../scenes/license.ts";
import { cocoCopy } from "./coco-copy.ts";
import { writeDurably } from "./durable.ts";
import { annotationFile, CARD_FILE, CLEAN_FOLDER, METADATA_FILE, NOTICE_FILE, PARQUET_FOLDER } from "./layout.ts";
import { readRows } from "./metadata.ts";
import { writeShards } from "./parquet.ts";
import { type BuildRecord, writeBuild } from "./recipe.ts";
import type { AdversarialRow } from "./row.ts";
import { type Statistics, statisticsOf } from "./statistics.ts";

/** The text of a data set's card. */
export type CardWriter = (build: BuildRecord, statistics: Statistics) => string;

export interface FinishInput {
	dataset: Dataset;
	/** Folders of the attacks by name. */
	folders: ReadonlyMap<string, string>;
	card: CardWriter;
	signal?: AbortSignal | undefined;
}

/** Writes the derived files, which depend on the rows alone, and last of all `build.json` with their hashes. */
export async function finishDataset(
	out: string,
	build: BuildRecord,
	{ dataset, folders, card, signal }: FinishInput,
): Promise<{ build: BuildRecord; statistics: Statistics }> {
	const statistics = await statisticsOf(readRows(out));
	const made = [METADATA_FILE];
	const write = async (file: string, content: string | Uint8Array | AsyncIterable<string>) => {
		signal?.throwIfAborted();
		await writeDurably(join(out, file), content);
		made.push(file);
	};
	await rm(join(out, PARQUET_FOLDER), { recursive: true, force: true });
	for (const [attack, folder] of folders) {
		const rows = () => only(readRows(out), attack);
		const description = `${dataset.name} under the attack ${attack}`;
		await write(annotationFile(folder), cocoCopy({ dataset, description, rows, fileOf: (row) => row.file_name }));
		made.push(...(await writeShards(out, folder, rows())));
	}
	const [first] = folders.keys();
	if (build.recipe.store.clean) {
		const rows = () => only(readRows(out), first);
		const description = `${dataset.name} before the attacks`;
		await write(
			annotationFile(CLEAN_FOLDER),
			cocoCopy({ dataset, description, rows, fileOf: (row) => row.clean_file_name ?? row.file_name }),
		);
	}
	if (statistics.licenses.some(({ name }) => name === SCENES_LICENSE.name)) {
		await write(NOTICE_FILE, await readFile(join(packageRoot(), NOTICE_FILE)));
	}
	await write(CARD_FILE, card({ ...build, rows: statistics.rows }, statistics));
	const files: Record<string, string> = {};
	for (const file of made) files[file] = await hashFile(join(out, file));
	const finished = { ...build, rows: statistics.rows, files };
	await writeBuild(out, finished);
	return { build: finished, statistics };
}

async function* only(rows: AsyncIterable<AdversarialRow>, attack: string): AsyncGenerator<AdversarialRow> {
	for await (const row of rows) if (row.attack === attack) yield row;
}
