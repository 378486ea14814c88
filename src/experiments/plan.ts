/** @file What a run will do, in which chunks, and under which names its artifacts are stored (design D9). */
import type { AttackSpec } from "../attacks/schema.ts";
import type { Dataset, Sample } from "../datasets/dataset.ts";
import type { Canvas } from "../image/canvas.ts";
import type { Classifier } from "../models/classifier.ts";
import type { Detector } from "../models/detector.ts";
import type { Purifier } from "../purifiers/purifier.ts";
import type { RegionsOptions } from "../regions/regions.ts";
import { digest } from "./digest.ts";

/** Raised whenever a stage computes something else from the same inputs and options. */
const STAGE_VERSIONS = { canvas: 1, predict: 1, attack: 1, detect: 1, purify: 1 } as const;
export type StageName = keyof typeof STAGE_VERSIONS;

export type Options = Readonly<Record<string, unknown>>;

export interface NamedAttack {
	readonly name: string;
	/** Attacks of one family differ in epsilon alone. */
	readonly family: string;
	readonly spec: AttackSpec;
}

export interface NamedPurifier {
	readonly name: string;
	readonly purifier: Purifier;
	/** Names of the attacks whose images it purifies; `clean` stands for the unattacked images. */
	readonly purify: readonly string[];
	/** How detections become its regions. */
	readonly regions: RegionsOptions;
}

/** Everything that an experiment works with, opened. */
export interface Parts {
	readonly dataset: Dataset;
	readonly canvas: {
		readonly options: Options;
		/** The canvas of an image file's bytes. */
		load(bytes: Uint8Array, path: string): Promise<Canvas>;
	};
	readonly classifier: Classifier;
	/** Multi-hot true labels `[K]`; undefined where the data set has none. */
	truth(sample: Sample): Float32Array | undefined;
	readonly attacks: readonly NamedAttack[];
	readonly detector?: Detector | undefined;
	readonly purifiers: readonly NamedPurifier[];
	close(): Promise<void>;
}

export interface PlannedImage {
	readonly position: number;
	readonly sample: Sample;
}

export interface Plan {
	/** Names the plan: equal for runs that must end with the same records. */
	readonly digest: string;
	readonly seed: number;
	/** How often a purifier is repeated on the same image. */
	readonly repetitions: number;
	/** Chunks are the unit of computation and of commit; they depend on the plan alone. */
	readonly chunks: readonly (readonly PlannedImage[])[];
}

export interface PlanOptions {
	seed: number;
	chunkSize: number;
	repetitions: number;
}

/** Cuts the work into chunks and names the whole. */
export function makePlan(parts: Parts, { seed, chunkSize, repetitions }: PlanOptions): Plan {
	const { dataset, classifier } = parts;
	const images = dataset.samples.map((sample, position) => ({ position, sample }));
	const chunks = Array.from({ length: Math.ceil(images.length / chunkSize) }, (_, i) => images.slice(i * chunkSize, (i + 1) * chunkSize));
	return {
		digest: digest({
			seed,
			chunkSize,
			repetitions,
			versions: STAGE_VERSIONS,
			dataset: { hash: dataset.hash, images: dataset.samples.map(({ id }) => id) },
			canvas: parts.canvas.options,
			classifier: classifier.hash,
			attacks: parts.attacks,
			detector: parts.detector?.hash,
			purifiers: parts.purifiers.map(({ name, purifier, purify, regions }) => ({ name, purify, regions, options: purifier.options })),
		}),
		seed,
		repetitions,
		chunks,
	};
}

/** The name of an artifact: stage, version, options, and what it is made from. */
export const artifactKey = (
	stage: StageName,
	made: { options?: unknown; models?: unknown; images?: unknown; inputs: readonly string[] },
): string => digest({ stage, version: STAGE_VERSIONS[stage], ...made });

/** Purifiers that work on the images of an attack, or on the `clean` ones. */
export const purifiersOf = (parts: Pick<Parts, "purifiers">, attack: string): NamedPurifier[] =>
	parts.purifiers.filter(({ purify }) => purify.includes(attack));

/** Score from which on detections are kept: the lowest that any purifier's regions begin at. */
export const detectionThreshold = (parts: Pick<Parts, "purifiers">): number =>
	Math.min(...parts.purifiers.filter(({ purifier }) => purifier.needsRegions).map(({ regions }) => regions.threshold));
