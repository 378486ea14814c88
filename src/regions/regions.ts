/** @file From a detector's findings to the regions of an image: policy and prompts with one schema. */
import { z } from "zod";
import type { Detection, Detector } from "../models/detector.ts";
import { random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { selectDetections } from "./policy.ts";
import { PROMPT_RULES, promptFor, type TrueObject } from "./prompts.ts";
import type { Region } from "./region.ts";

const share = z.number().min(0).max(1);

export const regionsSchema = z.strictObject({
	threshold: share.default(0.5).describe("detections below this score are dropped"),
	maxRegions: z.int().positive().default(16).describe("at most this many regions an image, the best ones"),
	minSize: z.number().nonnegative().default(2).describe("shorter side in canvas pixels below which a region is dropped"),
	overlapping: z
		.enum(["suppress", "merge", "keep"])
		.default("suppress")
		.describe("overlapping boxes of one label: keep the best, replace by their union, or keep all"),
	overlap: share.default(0.6).describe("overlap (IoU) above which two boxes count as overlapping"),
	padding: z.number().nonnegative().default(0).describe("share of the box's size by which each side grows"),
	prompt: z.enum(PROMPT_RULES).default("label").describe("what the inpainting model is told to paint"),
	template: z.string().default("a photo of a {label}").describe("sentence for the prompts label, shuffled and oracle"),
	generic: z.string().default("a photo").describe("sentence for the prompt generic"),
});

export type RegionsOptions = z.output<typeof regionsSchema>;
export type RegionsInput = z.input<typeof regionsSchema>;

export interface RegionContext {
	/** Names the random stream of this image (design D8). */
	id: string;
	seed: number;
	canvas: { readonly width: number; readonly height: number };
	/** Labels that the prompt `shuffled` draws from. */
	vocabulary: readonly string[];
	/** True objects in canvas pixels, for the prompt `oracle`. */
	objects?: readonly TrueObject[] | undefined;
}

/** The regions of one image, best first. */
export function regionsFrom(detections: readonly Detection[], options: RegionsOptions, context: RegionContext): Region[] {
	const { prompt: rule, template, generic } = options;
	const { id, seed, canvas, vocabulary, objects = [] } = context;
	return selectDetections(detections, options, canvas).map((detection, i) => ({
		...detection,
		prompt: promptFor(detection, { rule, template, generic, vocabulary, objects, random: random(seed, id, "regions/prompt", i) }),
	}));
}

export interface FindRegionsInput {
	/** `[N, 3, H, W]`, pixels in [0, 1]: the attacked images, as the defender sees them. */
	images: Tensor;
	ids: readonly string[];
	seed: number;
	/** True objects of each image, for the prompt `oracle`. */
	objects?: readonly (readonly TrueObject[] | undefined)[] | undefined;
}

/** Detects objects in images and turns them into regions. */
export async function findRegions(
	detector: Detector,
	options: RegionsOptions,
	{ images, ids, seed, objects }: FindRegionsInput,
): Promise<Region[][]> {
	const [, , height, width] = images.dims;
	const found = await detector.detect(images, { threshold: options.threshold });
	return found.map((detections, n) =>
		regionsFrom(detections, options, { id: ids[n], seed, canvas: { height, width }, vocabulary: detector.labels, objects: objects?.[n] }),
	);
}
