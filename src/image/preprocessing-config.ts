/** @file Reads Hugging Face's preprocessor_config.json, the old form and the new, into a `Preprocessing`. */
import { KintsugiError } from "../errors.ts";
import type { Preprocessing, ResizeTo } from "./preprocess.ts";
import type { Filter } from "./resample.ts";
import type { Size } from "./rgb.ts";

interface Defaults {
	size: ResizeTo;
	filter: Filter;
	crop?: Size;
	mean?: readonly number[];
	std?: readonly number[];
	multipleOf?: number;
}

const OPENAI = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] };
const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const HALF = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
const square = (side: number): Size => ({ height: side, width: side });

/** What each class of transformers does where its configuration says nothing. */
const CLASSES: Record<string, Defaults> = {
	CLIP: { size: { shortestEdge: 224 }, filter: "bicubic", crop: square(224), ...OPENAI },
	ViT: { size: square(224), filter: "bilinear", ...HALF },
	Detr: { size: { shortestEdge: 800, longestEdge: 1333 }, filter: "bilinear", ...IMAGENET },
	Yolos: { size: { shortestEdge: 800, longestEdge: 1333 }, filter: "bilinear", ...IMAGENET, multipleOf: 16 },
	RTDetr: { size: square(640), filter: "bilinear" },
};

/** Pillow's codes. */
const FILTERS: Record<number, Filter> = { 2: "bilinear", 3: "bicubic" };

/**
 * The preprocessing that a `preprocessor_config.json` describes: CLIPImageProcessor, ViTImageProcessor, DetrImageProcessor,
 * YolosImageProcessor, RTDetrImageProcessor and their older FeatureExtractor names. Padding to the largest of a batch is left out:
 * canvases have one size. Throws `config` for anything else.
 */
export function preprocessingFromConfig(json: unknown, where = "preprocessor_config.json"): Preprocessing {
	const config = record(json, where);
	const named = config.image_processor_type ?? config.feature_extractor_type;
	const family = typeof named === "string" ? named.replace(/(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/, "") : "";
	const defaults = CLASSES[family];
	if (!defaults) {
		throw wrong(
			`${where}: image_processor_type`,
			`one of ${Object.keys(CLASSES)
				.map((name) => `${name}ImageProcessor`)
				.join(", ")}`,
			named === undefined ? "nothing" : String(named),
		);
	}
	const asked = (key: string, otherwise: boolean) => (typeof config[key] === "boolean" ? config[key] : otherwise);
	const cropped = asked("do_center_crop", defaults.crop !== undefined);
	const normalised = asked("do_normalize", defaults.mean !== undefined);
	const scale = asked("do_rescale", true) ? 255 * number(config.rescale_factor ?? 1 / 255, `${where}: rescale_factor`) : 255;
	return {
		...(asked("do_resize", true) ? { resize: { to: sizeOf(config, defaults, where), filter: filterOf(config, defaults, where) } } : {}),
		...(cropped ? { crop: cropOf(config, defaults, where) } : {}),
		scale: Math.abs(scale - 1) < 1e-6 ? 1 : scale,
		...(normalised
			? {
					mean: channels(config.image_mean, defaults.mean, `${where}: image_mean`),
					std: channels(config.image_std, defaults.std, `${where}: image_std`),
				}
			: {}),
	};
}

function sizeOf(config: Record<string, unknown>, defaults: Defaults, where: string): ResizeTo {
	const at = `${where}: size`;
	const multiple = defaults.multipleOf === undefined ? {} : { multipleOf: defaults.multipleOf };
	if (config.size === undefined) return "height" in defaults.size ? defaults.size : { ...defaults.size, ...multiple };
	if (typeof config.size === "number") {
		if ("height" in defaults.size) return square(config.size);
		// DETR and YOLOS used to say { size: 800, max_size: 1333 }; CLIP has no upper limit.
		const longest = config.max_size ?? defaults.size.longestEdge;
		return { shortestEdge: config.size, ...(longest === undefined ? {} : { longestEdge: number(longest, at) }), ...multiple };
	}
	const size = record(config.size, at);
	if ("height" in size && "width" in size) return { height: number(size.height, at), width: number(size.width, at) };
	if ("shortest_edge" in size) {
		const longest = size.longest_edge ?? undefined;
		return {
			shortestEdge: number(size.shortest_edge, at),
			...(longest === undefined ? {} : { longestEdge: number(longest, at) }),
			...multiple,
		};
	}
	throw wrong(at, "height and width, or shortest_edge", JSON.stringify(size));
}

function cropOf(config: Record<string, unknown>, defaults: Defaults, where: string): Size {
	const at = `${where}: crop_size`;
	const { crop_size: crop } = config;
	if (crop === undefined) {
		if (defaults.crop) return defaults.crop;
		throw wrong(at, "height and width of the centre crop", "nothing");
	}
	if (typeof crop === "number") return square(crop);
	const { height, width } = record(crop, at);
	return { height: number(height, at), width: number(width, at) };
}

function filterOf(config: Record<string, unknown>, defaults: Defaults, where: string): Filter {
	const { resample } = config;
	if (resample === undefined || resample === null) return defaults.filter;
	const filter = FILTERS[Number(resample)];
	if (!filter) throw wrong(`${where}: resample`, "2 (bilinear) or 3 (bicubic)", String(resample));
	return filter;
}

function channels(value: unknown, otherwise: readonly number[] | undefined, at: string): readonly number[] {
	const found = value ?? otherwise;
	if (Array.isArray(found) && found.length === 3 && found.every((v) => typeof v === "number" && Number.isFinite(v))) return found;
	throw wrong(at, "three numbers", JSON.stringify(found) ?? "nothing");
}

function number(value: unknown, at: string): number {
	if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
	throw wrong(at, "a positive number", JSON.stringify(value) ?? "nothing");
}

function record(value: unknown, at: string): Record<string, unknown> {
	if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
	throw wrong(at, "a JSON object", JSON.stringify(value) ?? "nothing");
}

const wrong = (where: string, expected: string, found: string) =>
	new KintsugiError("config", { where, expected, found, fix: "correct the file, or describe the preprocessing yourself" });
