/** @file The stages of one chunk: each reads artifacts, computes, and stores one artifact; what is stored already is not computed again. */
import { readFile } from "node:fs/promises";
import { type AttackOutcome, runAttack } from "../attacks/attack.ts";
import { createAttack } from "../attacks/schema.ts";
import { KintsugiError } from "../errors.ts";
import type { PurifierInput } from "../purifiers/purifier.ts";
import type { Region } from "../regions/region.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { canonicalJson, sha256 } from "./digest.ts";
import { maskName, pictureName, pngFiles, readPictures } from "./pictures.ts";
import { artifactKey, type NamedAttack, type NamedPurifier, type Parts, type PlannedImage, type StageName } from "./plan.ts";
import type { ProgressMeter } from "./progress.ts";
import type { Artifact, ArtifactStore } from "./store.ts";

/** An image that a stage could not handle. */
export interface SlotFailure {
	slot: number;
	code: string;
	message: string;
}

/** What every stage stores. Slots are places in the chunk; lists run parallel to `slots`. */
interface StageData {
	slots: number[];
	failures: SlotFailure[];
	/** Wall-clock seconds of the stage. */
	seconds: number;
}

/** Logits of images, one list an image. */
interface Scored {
	logits: number[][];
}

export interface AttackData extends StageData, Scored {
	outcomes: AttackOutcome[];
	warnings: string[];
}

export type RegionData = StageData & { regions: Region[][] };
export type PredictData = StageData & Scored;

export interface StageContext {
	readonly parts: Parts;
	readonly store: ArtifactStore;
	readonly seed: number;
	readonly meter: ProgressMeter;
	readonly signal?: AbortSignal | undefined;
}

interface Computed<T> {
	data: Omit<T, "seconds">;
	pictures?: ReadonlyMap<string, Tensor>;
}

/** Reads the artifact or computes and stores it; `unit` is the stage's name in progress reports. */
async function stage<T extends StageData>(
	context: StageContext,
	{ name, unit, key }: { name: StageName; unit: string; key: string },
	compute: () => Promise<Computed<T>>,
): Promise<Artifact<T>> {
	const { store, meter, signal } = context;
	signal?.throwIfAborted();
	meter.start(unit);
	const stored = await store.get<T>(key);
	if (stored) {
		meter.finish({ computed: false });
		return stored;
	}
	const started = performance.now();
	const { data, pictures = new Map<string, Tensor>() } = await compute();
	signal?.throwIfAborted();
	const seconds = (performance.now() - started) / 1000;
	const artifact = await store.put<T>(key, name, { ...data, seconds } as T, await pngFiles(pictures));
	meter.finish({ computed: true });
	return artifact;
}

/** True for faults of one image, which leave the others alone; a fault of a model ends the run. */
const isImageFault = (error: unknown): error is KintsugiError =>
	error instanceof KintsugiError && (error.code === "image" || error.code === "value");

/** Runs a batch; if one of its images is at fault, each image alone, so that only the faulty ones are lost. */
async function isolate<T>(
	slots: readonly number[],
	compute: (slots: readonly number[]) => Promise<T[]>,
): Promise<{ slots: number[]; results: T[]; failures: SlotFailure[] }> {
	try {
		return { slots: [...slots], results: slots.length === 0 ? [] : await compute(slots), failures: [] };
	} catch (error) {
		if (!isImageFault(error)) throw error;
		if (slots.length === 1) return { slots: [], results: [], failures: [{ slot: slots[0], code: error.code, message: error.message }] };
	}
	const alone = [];
	for (const slot of slots) alone.push(await isolate([slot], compute));
	return {
		slots: alone.flatMap((a) => a.slots),
		results: alone.flatMap((a) => a.results),
		failures: alone.flatMap((a) => a.failures),
	};
}

const lists = (logits: Tensor): number[][] => Array.from({ length: logits.dims[0] }, (_, n) => [...row(logits, n).data]);

const pictureMap = (slots: readonly number[], images: readonly Tensor[]): Map<string, Tensor> =>
	new Map(slots.map((slot, i) => [pictureName(slot), images[i]]));

/** Files -> canvases. A file that cannot be used is a failure, not an end. */
export async function canvasStage(context: StageContext, chunk: readonly PlannedImage[]): Promise<Artifact<StageData>> {
	const { canvas } = context.parts;
	const bytes = await Promise.all(chunk.map(({ sample }) => readFile(sample.path).catch(() => undefined)));
	const key = artifactKey("canvas", { options: canvas.options, inputs: bytes.map((b) => (b ? sha256(b) : "missing")) });
	return stage(context, { name: "canvas", unit: "canvas", key }, async () => {
		const all = chunk.map((_, slot) => slot);
		const { slots, results, failures } = await isolate(all, (some) =>
			Promise.all(some.map(async (slot) => canvas.load(bytes[slot] ?? missing(chunk[slot].sample.path), chunk[slot].sample.path))),
		);
		return { data: { slots, failures }, pictures: pictureMap(slots, results) };
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

/** Pictures -> regions. */
export async function regionStage(context: StageContext, images: Artifact<StageData>): Promise<Artifact<RegionData> | undefined> {
	const finder = context.parts.regions;
	if (!finder) return undefined;
	const key = artifactKey("regions", { options: finder.options, inputs: [images.key] });
	return stage<RegionData>(context, { name: "regions", unit: "regions", key }, async () => {
		const { slots, results, failures } = await isolate(images.data.slots, async (some) => finder.find(await readPictures(images, some)));
		return { data: { slots, failures, regions: results } };
	});
}

export interface PurifyInputs {
	chunk: readonly PlannedImage[];
	images: Artifact<StageData>;
	regions: Artifact<RegionData> | undefined;
	repetition: number;
}

/** Pictures and regions -> purified pictures and masks. */
export async function purifyStage(
	context: StageContext,
	{ name, purifier }: NamedPurifier,
	inputs: PurifyInputs,
): Promise<Artifact<StageData>> {
	const { chunk, images, repetition } = inputs;
	const { seed, signal, meter } = context;
	const regions = purifier.needsRegions ? inputs.regions : undefined;
	const found = new Map((regions?.data.slots ?? images.data.slots).map((slot, i) => [slot, regions?.data.regions[i] ?? []]));
	const key = artifactKey("purify", {
		options: { name: purifier.name, options: purifier.options, seed, repetition },
		images: images.data.slots.map((slot) => chunk[slot].sample.id),
		inputs: [images.key, ...(regions ? [sha256(canonicalJson([regions.data.slots, regions.data.regions]))] : [])],
	});
	return stage<StageData>(context, { name: "purify", unit: `purify ${name}`, key }, async () => {
		const usable = images.data.slots.filter((slot) => found.has(slot));
		const { slots, results, failures } = await isolate(usable, async (some) => {
			const batch = await readPictures(images, some);
			const items = some.map(
				(slot, i): PurifierInput => ({ id: chunk[slot].sample.id, image: row(batch, i), regions: found.get(slot) ?? [] }),
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
