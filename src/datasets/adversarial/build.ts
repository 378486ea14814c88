/** @file Builds an adversarial data set, or what is left of it: batch by batch, a row only after its picture is safe on the disk. */
import { join } from "node:path";
import type { AttackSpec } from "../../attacks/schema.ts";
import { encodePng } from "../../image/encode.ts";
import type { Classifier } from "../../models/classifier.ts";
import type { Dataset } from "../dataset.ts";
import { attackBatch } from "./attack-batch.ts";
import { asOnlyWriter, sync, writeDurably } from "./durable.ts";
import { type CardWriter, finishDataset } from "./finish.ts";
import { attackFolders, CLEAN_FOLDER, cleanFile, imageFile, imageStems } from "./layout.ts";
import { type CanvasLoader, type Loaded, loadImages, type Planned, type Skipped } from "./load.ts";
import { appendRows, recoverRows } from "./metadata.ts";
import { type BuildRecord, openBuild, type Recipe } from "./recipe.ts";
import type { Statistics } from "./statistics.ts";

/** What a data set is made from, opened. */
export interface DatasetParts {
	readonly dataset: Dataset;
	readonly load: CanvasLoader;
	readonly classifier: Classifier;
	readonly attacks: readonly { readonly name: string; readonly spec: AttackSpec }[];
	readonly seed: number;
}

export interface BuildOptions {
	/** Folder of the data set: new, empty, or begun with the same recipe. */
	out: string;
	/** Says all that decides the result; `parts` must be what it says. */
	recipe: Recipe;
	/** Programs and their versions, for the record. */
	versions: Record<string, string>;
	card: CardWriter;
	/** Pictures done, of all that are to be made, and what is being done. */
	onProgress?: ((progress: { stage: string; done: number; total: number }) => void) | undefined;
	/** A build that is aborted keeps every batch and continues from there. */
	signal?: AbortSignal | undefined;
}

export interface FinishedBuild {
	build: BuildRecord;
	statistics: Statistics;
	/** Pictures that were there already. */
	kept: number;
}

/**
 * Attacks every image of `parts.dataset` with every attack and writes the data set. Pictures and rows that are there are
 * kept; a build that was killed ends, started again, with the bytes of one that was not.
 * Throws `dataset` if the folder holds something else, `artifact` if another process is writing into it.
 */
export const buildAdversarialDataset = (parts: DatasetParts, options: BuildOptions): Promise<FinishedBuild> =>
	asOnlyWriter(options.out, () => build(parts, options));

async function build(parts: DatasetParts, options: BuildOptions): Promise<FinishedBuild> {
	const { out, recipe, versions, card, onProgress, signal } = options;
	const { dataset, attacks } = parts;
	const folders = attackFolders(attacks.map(({ name }) => name));
	const begun = await openBuild(out, recipe, versions);
	const done = await recoverRows(out, recipe.batch * attacks.length);
	const kept = done.size;
	const stems = imageStems(dataset.samples.map(({ id }) => id));
	const planned = dataset.samples.map((sample, i): Planned => ({ sample, stem: stems[i] }));
	const total = planned.length * attacks.length;
	const skipped: Skipped[] = [];
	for (let from = 0; from < planned.length; from += recipe.batch) {
		signal?.throwIfAborted();
		const batch = planned.slice(from, from + recipe.batch);
		const missing = (folder: string, images: readonly Planned[]) => images.filter(({ stem }) => !done.has(imageFile(folder, stem)));
		const incomplete = (images: readonly Planned[]) => attacks.some(({ name }) => missing(folders.get(name) ?? name, images).length > 0);
		if (!incomplete(batch)) continue;
		const found = await loadImages(batch, parts.load);
		skipped.push(...found.skipped);
		if (recipe.store.clean && incomplete(found.images)) await writeClean(out, found.images);
		// Whole batches, also where some rows are there: a result must not depend on where a build was stopped.
		for (const [i, { name, spec }] of attacks.entries()) {
			const folder = folders.get(name) ?? name;
			if (missing(folder, found.images).length === 0) continue;
			const rows = await attackBatch({
				out,
				images: found.images,
				attack: { name, folder, spec },
				classifier: parts.classifier,
				categoryIds: new Map(dataset.categories?.map((category) => [category.name, category.id])),
				seed: parts.seed,
				store: recipe.store,
				signal,
				onProgress: (share) => onProgress?.({ stage: `attack ${name}`, done: from * attacks.length + (i + share) * batch.length, total }),
			});
			const fresh = rows.filter(({ file_name }) => !done.has(file_name));
			await appendRows(out, fresh);
			for (const { file_name } of fresh) done.add(file_name);
		}
	}
	onProgress?.({ stage: "COCO, Parquet, card", done: total, total });
	const finished = await finishDataset(out, { ...begun, skipped }, { dataset, folders, card, signal });
	return { ...finished, kept };
}

/** The same bytes each time, so pictures that are there do no harm. */
async function writeClean(out: string, images: readonly Loaded[]): Promise<void> {
	for (const { stem, canvas } of images) await writeDurably(join(out, cleanFile(stem)), await encodePng(canvas));
	await sync(join(out, CLEAN_FOLDER));
}
