/** @file One attack on one batch: pictures to the disk, back from the disk, and judged as they came back. */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type AttackOutcome, type AttackResult, runAttack } from "../../attacks/attack.ts";
import { type AttackSpec, createAttack } from "../../attacks/schema.ts";
import { distance } from "../../attacks/threat-model.ts";
import { KintsugiError } from "../../errors.ts";
import { canonicalJson, sha256 } from "../../hub/digest.ts";
import { decodeImage } from "../../image/decode.ts";
import { encodePng } from "../../image/encode.ts";
import { fromRgb } from "../../image/rgb.ts";
import type { Classifier } from "../../models/classifier.ts";
import { row, stack, type Tensor, tensor } from "../../tensor/tensor.ts";
import { multiHot } from "../targets.ts";
import { sync, writeDurably } from "./durable.ts";
import { judge, rank } from "./judge.ts";
import { cleanFile, deltaFile, imageFile } from "./layout.ts";
import type { Loaded } from "./load.ts";
import { encodeNpy } from "./npy.ts";
import { objectsOnCanvas } from "./objects.ts";
import type { AdversarialRow } from "./row.ts";

export interface AttackBatchInput {
	/** Folder of the data set. */
	out: string;
	images: readonly Loaded[];
	attack: { name: string; folder: string; spec: AttackSpec };
	classifier: Classifier;
	/** Numbers of categories by name. */
	categoryIds: ReadonlyMap<string, number>;
	seed: number;
	store: { clean: boolean; deltas: boolean };
	signal?: AbortSignal | undefined;
	onProgress?: ((share: number) => void) | undefined;
}

/** A picture of the data set as the network sees it. */
export const readPng = async (path: string): Promise<Tensor> =>
	fromRgb(await decodeImage(await readFile(path), { name: basename(path), minSide: 1, maxPixels: Number.POSITIVE_INFINITY }));

/** Attacks a batch and writes its pictures; the rows may be appended once this returns. */
export async function attackBatch(input: AttackBatchInput): Promise<AdversarialRow[]> {
	const { out, images, attack, classifier, seed, store, signal, onProgress } = input;
	const annotated = images.every(({ sample }) => sample.annotations);
	const truth = annotated ? stack(images.map(({ sample }) => hot(multiHot(sample, classifier.labels)))) : undefined;
	const ids = images.map(({ sample }) => sample.id);
	const canvases = stack(images.map(({ canvas }) => canvas));
	const result = await runAttack(createAttack(attack.spec), classifier, { images: canvases, ids, truth, seed, signal, onProgress });

	const files: StoredFiles[] = [];
	for (const [i, { stem, canvas }] of images.entries()) {
		const png = await encodePng(row(result.images, i));
		const stored: StoredFiles = { file_name: imageFile(attack.folder, stem), sha256: sha256(png) };
		await writeDurably(join(out, stored.file_name), png);
		if (store.deltas) {
			const npy = encodeNpy(difference(row(result.unrounded, i), canvas), canvas.dims);
			stored.delta = { delta_file: deltaFile(attack.folder, stem), delta_sha256: sha256(npy) };
			await writeDurably(join(out, stored.delta.delta_file), npy);
		}
		files.push(stored);
	}
	for (const folder of new Set(files.flatMap((f) => [f.file_name, ...(f.delta ? [f.delta.delta_file] : [])]).map(dirname))) {
		await sync(join(out, folder));
	}
	const back = await Promise.all(files.map(({ file_name }) => readPng(join(out, file_name))));
	for (const [i, picture] of back.entries()) assertSame(files[i].file_name, picture, row(result.images, i));
	const logits = await classifier.predict(stack(back));
	return images.map((image, i) => rowOf(input, { image, files: files[i], back: back[i], logits: row(logits, i).data, result, i }));
}

interface StoredFiles {
	file_name: string;
	sha256: string;
	delta?: { delta_file: string; delta_sha256: string };
}

const hot = (values: Float32Array): Tensor => tensor(values, [values.length]);

const difference = (a: Tensor, b: Tensor): Float32Array => a.data.map((v, i) => v - b.data[i]);

function assertSame(file: string, found: Tensor, written: Tensor): void {
	if (found.dims.join() === written.dims.join() && distance(found.data, written.data).linf === 0) return;
	throw new KintsugiError("artifact", {
		where: file,
		expected: "the pixels that were written",
		found: "others",
		fix: "check the disk and build again",
	});
}

interface RowInput {
	image: Loaded;
	files: StoredFiles;
	/** The picture and its logits `[K]`, from the disk. */
	back: Tensor;
	logits: Float32Array;
	result: AttackResult;
	/** Place in the batch. */
	i: number;
}

function rowOf(
	{ attack, classifier, categoryIds, seed, store }: AttackBatchInput,
	{ image, files, back, logits, result, i }: RowInput,
): AdversarialRow {
	const { sample, stem, mapping, canvas } = image;
	const outcome: AttackOutcome = result.outcomes[i];
	const clean = row(result.cleanLogits, i).data;
	const known = new Set(sample.annotations?.map(({ label }) => label));
	const truth = sample.annotations ? classifier.labels.filter((label) => known.has(label)) : null;
	const target = outcome.target ?? null;
	const options = canonicalJson(attack.spec);
	const objects = objectsOnCanvas(sample.annotations ?? [], mapping);
	return {
		file_name: files.file_name,
		...(store.clean ? { clean_file_name: cleanFile(stem) } : {}),
		...(files.delta ? { delta_file: files.delta.delta_file } : {}),
		image_id: sample.id,
		source_file: basename(sample.path),
		source_sha256: image.sourceHash,
		source_url: sample.url ?? null,
		license: sample.license?.name ?? null,
		license_url: sample.license?.url || null,
		width: mapping.to.width,
		height: mapping.to.height,
		source_width: mapping.from.width,
		source_height: mapping.from.height,
		canvas_scale: [mapping.scaleX, mapping.scaleY],
		canvas_offset: [mapping.offsetX, mapping.offsetY],
		attack: attack.name,
		attack_options: options,
		attack_options_sha256: sha256(options),
		norm: attack.spec.norm,
		epsilon: attack.spec.epsilon,
		threat: "static",
		seed,
		labels: truth,
		target,
		top5_before: rank(classifier, clean),
		top5_after: rank(classifier, logits),
		already_fooled: outcome.alreadyFooled,
		success_before_rounding: outcome.successBeforeRounding,
		success_after_rounding: outcome.success,
		success_verified: judge(classifier, attack.spec, { clean, truth, target })(logits),
		...distance(back.data, canvas.data),
		zero_gradient: outcome.zeroGradient,
		nan_count: outcome.nanCount,
		gradient_evaluations: outcome.gradientEvaluations,
		classifier: classifier.name,
		classifier_sha256: classifier.hash,
		sha256: files.sha256,
		clean_sha256: image.cleanHash,
		...(files.delta ? { delta_sha256: files.delta.delta_sha256 } : {}),
		objects: {
			bbox: objects.map(({ box }) => [...box]),
			categories: objects.map(({ label }) => label),
			category_id: objects.map(({ label }) => categoryIds.get(label) ?? 0),
			iscrowd: objects.map(({ crowd }) => crowd),
		},
	};
}
