/** @file Checks an adversarial data set again from its files: hashes, pixels, budgets, successes, completeness. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import type { AttackSpec } from "../../attacks/schema.ts";
import { distance, UNBOUNDED } from "../../attacks/threat-model.ts";
import { KintsugiError } from "../../errors.ts";
import { digest, sha256 } from "../../hub/digest.ts";
import { hashFile } from "../../hub/hash.ts";
import type { Classifier } from "../../models/classifier.ts";
import { row as rowOf, stack, type Tensor } from "../../tensor/tensor.ts";
import { readPng } from "./attack-batch.ts";
import { judge, rank } from "./judge.ts";
import { attackFolders, BUILD_FILE, IMAGES_FOLDER } from "./layout.ts";
import { pixelHash } from "./load.ts";
import { filesOf, readRows } from "./metadata.ts";
import { decodeNpy } from "./npy.ts";
import { readBuild } from "./recipe.ts";
import type { AdversarialRow } from "./row.ts";

export interface Fault {
	/** File, or file and column. */
	where: string;
	expected: string;
	found: string;
}

export interface VerifyInput {
	/** Folder of the data set. */
	folder: string;
	/** The classifier that was attacked; without it successes are not checked. */
	classifier: Classifier | undefined;
	/** Options of the attacks by name. */
	attacks: ReadonlyMap<string, AttackSpec>;
	/** The clean canvas of a row, for data sets that do not store it; undefined, a fault, if it is not to be had. */
	clean: (row: AdversarialRow) => Promise<Tensor | undefined>;
	onFault: (fault: Fault) => void;
	onProgress?: ((progress: { stage: string; done: number; total: number }) => void) | undefined;
	signal?: AbortSignal | undefined;
}

export interface Verified {
	rows: number;
	files: number;
	faults: number;
	/** Rows whose budget, and whose success, was checked. */
	budgets: number;
	successes: number;
	/** Largest difference of a recorded logit from the one measured now. */
	logitDifference: number;
}

/** Of float16 values below 1. */
const HALF_PRECISION = 2 ** -11;
const SLACK = 1e-6;

/** Checks everything and tells every fault; throws `dataset` only where there is no data set, or a row cannot be understood. */
export async function verifyAdversarialDataset(input: VerifyInput): Promise<Verified> {
	const { folder, classifier, attacks, onProgress, signal } = input;
	const build = await readBuild(folder);
	if (!build) {
		throw new KintsugiError("dataset", { where: folder, expected: `a data set with ${BUILD_FILE}`, found: "none", fix: "check the path" });
	}
	const verified: Verified = { rows: 0, files: 0, faults: 0, budgets: 0, successes: 0, logitDifference: 0 };
	const fault = (where: string, expected: unknown, found: unknown) => {
		verified.faults++;
		input.onFault({ where, expected: String(expected), found: String(found) });
	};
	const check = (where: string, expected: unknown, found: unknown) => {
		if (expected !== found) fault(where, expected, found);
		return expected === found;
	};
	const { recipe } = build;
	check(`${BUILD_FILE}: recipe_sha256`, digest(recipe), build.recipe_sha256);
	if (classifier) check("classifier", recipe.classifier.sha256, classifier.hash);
	if (Object.keys(build.files).length === 0) fault(BUILD_FILE, "a finished data set", "one that was begun: build it again to go on");
	for (const [file, hash] of Object.entries(build.files)) {
		verified.files++;
		check(file, hash, existsSync(join(folder, file)) ? await hashFile(join(folder, file)) : "no such file");
	}

	const total = (recipe.dataset.images - build.skipped.length) * attacks.size;
	const folders = attackFolders([...attacks.keys()]);
	const seen = new Set<string>();
	for await (const batch of batches(readRows(folder), recipe.batch)) {
		signal?.throwIfAborted();
		const [{ attack }] = batch;
		onProgress?.({ stage: `verify ${attack}`, done: verified.rows, total });
		const spec = attacks.get(attack);
		const sound: Sound[] = [];
		for (const row of batch) {
			verified.rows++;
			if (seen.has(row.file_name)) fault(row.file_name, "one row", "two");
			seen.add(row.file_name);
			check(`${row.file_name}: folder`, `${IMAGES_FOLDER}/${folders.get(attack)}/`, row.file_name.replace(/[^/]*$/, ""));
			check(`${row.file_name}: attack_options`, spec && digest(spec), sha256(row.attack_options));
			check(`${row.file_name}: attack_options_sha256`, sha256(row.attack_options), row.attack_options_sha256);
			check(`${row.file_name}: classifier_sha256`, recipe.classifier.sha256, row.classifier_sha256);
			const pictures = await checkFiles(input, row, check);
			verified.files += filesOf(row).length;
			if (!pictures || !spec) continue;
			verified.budgets++;
			checkBudget(row, spec, pictures, check, fault);
			await checkDelta(folder, row, spec, fault);
			sound.push({ row, ...pictures });
		}
		if (!classifier || !spec || sound.length === 0) continue;
		const measured = await checkSuccess(classifier, spec, sound, check);
		verified.successes += sound.length;
		verified.logitDifference = Math.max(verified.logitDifference, measured);
	}
	check("rows", total, verified.rows);
	check("rows in build.json", verified.rows, build.rows);
	await checkStrays(folder, seen, fault);
	return verified;
}

type Check = (where: string, expected: unknown, found: unknown) => boolean;
type Tell = (where: string, expected: unknown, found: unknown) => void;

interface Pictures {
	image: Tensor;
	clean: Tensor;
}

type Sound = Pictures & { row: AdversarialRow };

/** Consecutive rows of one attack, at most `size`. */
async function* batches(rows: AsyncIterable<AdversarialRow>, size: number): AsyncGenerator<AdversarialRow[]> {
	let batch: AdversarialRow[] = [];
	for await (const row of rows) {
		if (batch.length === size || (batch.length > 0 && batch[0].attack !== row.attack)) {
			yield batch;
			batch = [];
		}
		batch.push(row);
	}
	if (batch.length > 0) yield batch;
}

/** Hashes and formats; the pictures, if both are as they should be. */
async function checkFiles({ folder, clean: cleanOf }: VerifyInput, row: AdversarialRow, check: Check): Promise<Pictures | undefined> {
	for (const { file, hash } of filesOf(row)) {
		const bytes = await readFile(join(folder, file)).catch(() => undefined);
		if (!check(file, hash, bytes ? sha256(bytes) : "no such file")) return undefined;
	}
	const { format, depth, channels, width, height } = await sharp(join(folder, row.file_name)).metadata();
	const form = `png, uchar, 3 channels, ${row.width} x ${row.height}`;
	if (!check(`${row.file_name}: format`, form, `${format}, ${depth}, ${channels} channels, ${width} x ${height}`)) return undefined;
	const stored = row.clean_file_name;
	const clean = stored === undefined ? await cleanOf(row) : await readPng(join(folder, stored)).catch(() => undefined);
	const name = stored ?? `${row.file_name}: clean image`;
	if (!check(name, row.clean_sha256, clean ? pixelHash(clean) : "no such file") || !clean) return undefined;
	return { image: await readPng(join(folder, row.file_name)), clean };
}

function checkBudget(row: AdversarialRow, { norm, epsilon }: AttackSpec, { image, clean }: Pictures, check: Check, fault: Tell): void {
	const { linf, l2 } = distance(image.data, clean.data);
	check(`${row.file_name}: linf`, row.linf, linf);
	check(`${row.file_name}: l2`, row.l2, l2);
	check(`${row.file_name}: epsilon`, epsilon, row.epsilon);
	const used = norm === "l2" ? l2 : linf;
	if (epsilon < UNBOUNDED && used > epsilon * (1 + SLACK)) fault(`${row.file_name}: ${norm}`, `at most ${epsilon}`, used);
}

async function checkDelta(folder: string, { delta_file: file, ...row }: AdversarialRow, spec: AttackSpec, fault: Tell): Promise<void> {
	if (file === undefined) return;
	const { values, dims } = decodeNpy(await readFile(join(folder, file)), file);
	if (dims.join() !== [3, row.height, row.width].join()) fault(`${file}: shape`, `3,${row.height},${row.width}`, dims);
	const most = values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
	if (spec.norm === "linf" && spec.epsilon < UNBOUNDED && !(most <= spec.epsilon * (1 + HALF_PRECISION) + SLACK)) {
		fault(`${file}: linf`, `at most ${spec.epsilon}`, most);
	}
}

/** Classifies clean and adversarial images again; returns the largest difference of a recorded logit. */
async function checkSuccess(classifier: Classifier, spec: AttackSpec, sound: readonly Sound[], check: Check): Promise<number> {
	const cleanLogits = await classifier.predict(stack(sound.map(({ clean }) => clean)));
	const logits = await classifier.predict(stack(sound.map(({ image }) => image)));
	let difference = 0;
	for (const [i, { row }] of sound.entries()) {
		const clean = rowOf(cleanLogits, i).data;
		const now = rowOf(logits, i).data;
		const fooled = judge(classifier, spec, { clean, truth: row.labels, target: row.target });
		check(`${row.file_name}: success_verified`, fooled(now), row.success_verified);
		check(`${row.file_name}: success_after_rounding`, row.success_verified, row.success_after_rounding);
		check(`${row.file_name}: already_fooled`, fooled(clean), row.already_fooled);
		for (const [column, recorded, measured] of [
			["top5_before", row.top5_before, clean],
			["top5_after", row.top5_after, now],
		] as const) {
			check(`${row.file_name}: ${column}`, rank(classifier, measured).labels[0], recorded.labels[0]);
			recorded.labels.forEach((label, n) => {
				const logit = measured[classifier.labels.indexOf(label)];
				difference = Math.max(difference, Math.abs(logit - (recorded.logits[n] ?? logit)));
			});
		}
	}
	return difference;
}

/** Pictures without a row would be in the folder, but not in the data set. */
async function checkStrays(folder: string, seen: ReadonlySet<string>, fault: Tell): Promise<void> {
	for (const attack of await readdir(join(folder, IMAGES_FOLDER)).catch(() => [])) {
		for (const name of await readdir(join(folder, IMAGES_FOLDER, attack))) {
			const file = `${IMAGES_FOLDER}/${attack}/${name}`;
			if (!seen.has(file)) fault(file, "a row for every file", "none");
		}
	}
}
