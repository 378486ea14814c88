/** @file The stages of one chunk, from files to purified pictures. */
import { readFile } from "node:fs/promises";
import { runAttack } from "../attacks/attack.ts";
import { createAttack } from "../attacks/schema.ts";
import { KintsugiError } from "../errors.ts";
import { mapBox } from "../image/geometry.ts";
import type { PurifierInput } from "../purifiers/purifier.ts";
import type { Region } from "../regions/region.ts";
import { regionsFrom } from "../regions/regions.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { sha256 } from "./digest.ts";
import { maskName, pictureName, readPictures } from "./pictures.ts";
import { artifactKey, detectionThreshold, type NamedAttack, type NamedPurifier, type PlannedImage } from "./plan.ts";
import {
	type AttackData,
	type CanvasData,
	type DetectData,
	isolate,
	type PredictData,
	type StageContext,
	type StageData,
	stage,
} from "./stage.ts";
import type { Artifact } from "./store.ts";

const lists = (logits: Tensor): number[][] => Array.from({ length: logits.dims[0] }, (_, n) => [...row(logits, n).data]);

const pictureMap = (slots: readonly number[], images: readonly Tensor[]): Map<string, Tensor> =>
	new Map(slots.map((slot, i) => [pictureName(slot), images[i]]));

/** Files -> canvases. A file that cannot be used is a failure, not an end. */
export async function canvasStage(context: StageContext, chunk: readonly PlannedImage[]): Promise<Artifact<CanvasData>> {
	const { canvas } = context.parts;
	const bytes = await Promise.all(chunk.map(({ sample }) => readFile(sample.path).catch(() => undefined)));
	const key = artifactKey("canvas", { options: canvas.options, inputs: bytes.map((b) => (b ? sha256(b) : "missing")) });
	return stage<CanvasData>(context, { name: "canvas", unit: "canvas", key }, async () => {
		const all = chunk.map((_, slot) => slot);
		const { slots, results, failures } = await isolate(all, (some) =>
			Promise.all(some.map(async (slot) => canvas.load(bytes[slot] ?? missing(chunk[slot].sample.path), chunk[slot].sample.path))),
		);
		const pictures = pictureMap(
			slots,
			results.map((r) => r.canvas),
		);
		return { data: { slots, failures, mappings: results.map((r) => r.mapping) }, pictures };
	});
}

function missing(path: string): never {
	throw new KintsugiError("image", {
		where: path,
		expected: "an image file",
		found: "no readable file of that name",
		fix: "check the path",
	});
}

/** Logits of the pictures of an artifact. */
export async function predictStage(context: StageContext, images: Artifact<StageData>, unit: string): Promise<Artifact<PredictData>> {
	const { classifier } = context.parts;
	const key = artifactKey("predict", { models: [classifier.hash], inputs: [images.key] });
	return stage<PredictData>(context, { name: "predict", unit, key }, async () => {
		const { slots, results, failures } = await isolate(images.data.slots, async (some) =>
			lists(await classifier.predict(await readPictures(images, some))),
		);
		return { data: { slots, failures, logits: results } };
	});
}

/** Canvases -> adversarial images, with what the attack says about each. */
export async function attackStage(
	context: StageContext,
	chunk: readonly PlannedImage[],
	canvas: Artifact<StageData>,
	attack: NamedAttack,
): Promise<Artifact<AttackData>> {
	const { classifier, truth } = context.parts;
	const { seed, signal, meter } = context;
	const truths = new Map(canvas.data.slots.map((slot) => [slot, truth(chunk[slot].sample)]));
	const key = artifactKey("attack", {
		options: { spec: attack.spec, seed },
		models: [classifier.hash],
		images: canvas.data.slots.map((slot) => ({ id: chunk[slot].sample.id, truth: truths.get(slot)?.join("") })),
		inputs: [canvas.key],
	});
	return stage<AttackData>(context, { name: "attack", unit: `attack ${attack.name}`, key }, async () => {
		const warnings = new Set<string>();
		const { slots, results, failures } = await isolate(canvas.data.slots, async (some) => {
			const known = some.map((slot) => truths.get(slot)).filter((t) => t !== undefined);
			const result = await runAttack(createAttack(attack.spec), classifier, {
				images: await readPictures(canvas, some),
				ids: some.map((slot) => chunk[slot].sample.id),
				truth: known.length === some.length ? stack(known.map((t) => tensor(t, [t.length]))) : undefined,
				seed,
				signal,
				onProgress: (share) => meter.within(share),
			});
			for (const warning of result.warnings) warnings.add(warning);
			const logits = lists(result.logits);
			return some.map((_, i) => ({ image: row(result.images, i), logits: logits[i], outcome: result.outcomes[i] }));
		});
		return {
			data: {
				slots,
				failures,
				logits: results.map((r) => r.logits),
				outcomes: results.map((r) => r.outcome),
				warnings: [...warnings],
			},
			pictures: pictureMap(
				slots,
				results.map((r) => r.image),
			),
		};
	});
}

/** Pictures -> what the detector finds in them. */
export async function detectStage(context: StageContext, images: Artifact<StageData>): Promise<Artifact<DetectData> | undefined> {
	const { detector } = context.parts;
	if (!detector) return undefined;
	const threshold = detectionThreshold(context.parts);
	const key = artifactKey("detect", { options: { threshold }, models: [detector.hash], inputs: [images.key] });
	return stage<DetectData>(context, { name: "detect", unit: "detect", key }, async () => {
		const { slots, results, failures } = await isolate(images.data.slots, async (some) =>
			detector.detect(await readPictures(images, some), { threshold }),
		);
		return { data: { slots, failures, detections: results } };
	});
}

export interface PurifyInputs {
	chunk: readonly PlannedImage[];
	images: Artifact<StageData>;
	/** Regions by slot; an image without an entry is left out. */
	regions: ReadonlyMap<number, readonly Region[]>;
	repetition: number;
}

/** Regions of one purifier, by slot, from what the detector found. */
export function regionsOf(
	{ parts, seed }: StageContext,
	{ regions: options, purifier }: NamedPurifier,
	input: {
		chunk: readonly PlannedImage[];
		canvas: Artifact<CanvasData>;
		images: Artifact<StageData>;
		found: Artifact<DetectData> | undefined;
	},
): Map<number, Region[]> {
	const { chunk, canvas, images, found } = input;
	const { detector, classifier } = parts;
	if (!purifier.needsRegions || !found || !detector) return new Map(images.data.slots.map((slot) => [slot, []]));
	return new Map(
		found.data.slots.map((slot, i) => {
			const { sample } = chunk[slot];
			const mapping = canvas.data.mappings[canvas.data.slots.indexOf(slot)];
			const objects = sample.annotations?.flatMap(({ label, box }) => {
				const mapped = mapBox(box, mapping);
				return mapped ? [{ label, box: mapped }] : [];
			});
			const place = { id: sample.id, seed, canvas: classifier.canvas, vocabulary: detector.labels, objects };
			return [slot, regionsFrom(found.data.detections[i], options, place)];
		}),
	);
}

/** Pictures and regions -> purified pictures and masks. */
export async function purifyStage(
	context: StageContext,
	{ name, purifier }: NamedPurifier,
	inputs: PurifyInputs,
): Promise<Artifact<StageData>> {
	const { chunk, images, regions, repetition } = inputs;
	const { seed, signal, meter } = context;
	const usable = images.data.slots.filter((slot) => regions.has(slot));
	const key = artifactKey("purify", {
		options: { name: purifier.name, options: purifier.options, seed, repetition },
		images: usable.map((slot) => ({ slot, id: chunk[slot].sample.id, regions: regions.get(slot) })),
		inputs: [images.key],
	});
	return stage<StageData>(context, { name: "purify", unit: `purify ${name}`, key }, async () => {
		const { slots, results, failures } = await isolate(usable, async (some) => {
			const batch = await readPictures(images, some);
			const items = some.map(
				(slot, i): PurifierInput => ({ id: chunk[slot].sample.id, image: row(batch, i), regions: regions.get(slot) ?? [] }),
			);
			const options = { seed, repetition, onProgress: (share: number) => meter.within(share) };
			return purifier.purify(items, signal ? { ...options, signal } : options);
		});
		const pictures = pictureMap(
			slots,
			results.map((r) => r.image),
		);
		for (const [i, slot] of slots.entries()) pictures.set(maskName(slot), results[i].mask);
		return { data: { slots, failures }, pictures };
	});
}
