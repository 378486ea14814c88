/** @file What every stage of a chunk has in common: it reads artifacts, computes, and stores one artifact; what is stored already is not computed again. */
import type { AttackOutcome } from "../attacks/attack.ts";
import { KintsugiError } from "../errors.ts";
import type { Mapping } from "../image/geometry.ts";
import type { Detection } from "../models/detector.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { pngFiles } from "./pictures.ts";
import type { Parts, StageName } from "./plan.ts";
import type { ProgressMeter } from "./progress.ts";
import type { Artifact, ArtifactStore } from "./store.ts";

/** An image that a stage could not handle. */
export interface SlotFailure {
	slot: number;
	code: string;
	message: string;
}

/** What every stage stores. Slots are places in the chunk; lists run parallel to `slots`. */
export interface StageData {
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

export type CanvasData = StageData & { mappings: Mapping[] };
export type DetectData = StageData & { detections: Detection[][] };
export type PredictData = StageData & Scored;

export interface StageContext {
	readonly parts: Parts;
	readonly store: ArtifactStore;
	readonly seed: number;
	readonly meter: ProgressMeter;
	readonly signal?: AbortSignal | undefined;
}

export interface Computed<T> {
	data: Omit<T, "seconds">;
	pictures?: ReadonlyMap<string, Tensor>;
}

/** Reads the artifact or computes and stores it; `unit` is the stage's name in progress reports. */
export async function stage<T extends StageData>(
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
export async function isolate<T>(
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
