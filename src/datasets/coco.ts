/** @file Reads data sets in the official COCO format. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, isAbsolute, join, normalize, resolve, sep } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import type { Annotation, Category, Dataset, License, Sample } from "./dataset.ts";

export interface CocoOptions {
	/** Folder of the image files. */
	images: string;
	/** The annotation file, e.g. `annotations/instances_val2017.json`. */
	annotations: string;
	/** Default: the annotation file's name without its ending. */
	name?: string;
}

const optionalText = z.string().optional().catch(undefined);
const imageRecord = z.object({
	id: z.number(),
	file_name: z.string().min(1),
	license: z.number().optional().catch(undefined),
	flickr_url: optionalText,
	coco_url: optionalText,
});
const annotationRecord = z.object({
	image_id: z.number(),
	category_id: z.number(),
	bbox: z.tuple([z.number(), z.number(), z.number().nonnegative(), z.number().nonnegative()]),
	iscrowd: z.union([z.literal(0), z.literal(1), z.boolean()]).default(0),
	segmentation: z.unknown().optional(),
});
const categoryRecord = z.object({ id: z.number(), name: z.string().min(1), supercategory: optionalText });
const licenseRecord = z.object({ id: z.number(), name: z.string(), url: z.string().default("") });
const cocoFile = z.object({
	images: z.array(imageRecord).min(1),
	annotations: z.array(annotationRecord),
	categories: z.array(categoryRecord).min(1),
	licenses: z.array(licenseRecord).catch([]),
});
type CocoFile = z.infer<typeof cocoFile>;

/**
 * The data set of an annotation file, images by id, labels by category id.
 * Throws `dataset` if the file is missing or not COCO's format, if records contradict each other, or if none of the image files exists;
 * single missing images are left to the reader of the images.
 */
export async function openCoco({ images, annotations, name = basename(annotations, ".json") }: CocoOptions): Promise<Dataset> {
	const bytes = await readFile(annotations).catch((cause: unknown) => {
		throw refuse(annotations, "an annotation file", "none that can be read", "check the path", cause);
	});
	const file = parse(annotations, bytes);
	const labels = labelsById(annotations, file);
	const byImage = annotationsByImage(annotations, file, labels);
	const folder = resolve(images);
	const licenses = new Map(file.licenses.map((license) => [license.id, license]));
	const samples = file.images
		.toSorted((a, b) => a.id - b.id)
		.map(
			(record): Sample => ({
				id: String(record.id),
				path: pathOf(annotations, folder, record),
				annotations: byImage.get(record.id) ?? [],
				...origin(record, licenses),
			}),
		);
	assertSomeExist(folder, samples);
	const hash = createHash("sha256").update(bytes).digest("hex");
	return { name, hash, labels: [...new Set(labels.values())], samples, categories: categoriesOf(file) };
}

/** Whose picture it is, as far as the file says. */
function origin(
	{ license: id, flickr_url, coco_url }: CocoFile["images"][number],
	licenses: ReadonlyMap<number, License>,
): Pick<Sample, "license" | "url"> {
	const license = id === undefined ? undefined : licenses.get(id);
	const url = flickr_url ?? coco_url;
	return { ...(license ? { license } : {}), ...(url ? { url } : {}) };
}

const categoriesOf = ({ categories }: CocoFile): Category[] =>
	categories
		.toSorted((a, b) => a.id - b.id)
		.map(({ id, name, supercategory }) => ({ id, name, ...(supercategory ? { supercategory } : {}) }));

function parse(path: string, bytes: Uint8Array): CocoFile {
	let json: unknown;
	try {
		json = JSON.parse(new TextDecoder().decode(bytes));
	} catch (cause) {
		throw refuse(path, "JSON", cause instanceof Error ? cause.message : "something else", "copy or export the file again", cause);
	}
	const result = cocoFile.safeParse(json);
	if (result.success) return result.data;
	const issue = result.error.issues[0];
	const place = issue.path.reduce<string>((text, key) => (typeof key === "number" ? `${text}[${key}]` : `${text}.${String(key)}`), "");
	throw refuse(`${path}${place}`, "COCO's instances format", issue.message, "repair the file, or export it again as COCO instances");
}

function labelsById(path: string, { categories }: CocoFile): Map<number, string> {
	const labels = new Map<number, string>();
	for (const { id, name } of categories.toSorted((a, b) => a.id - b.id)) {
		if (labels.has(id)) throw refuse(`${path}.categories`, "each id once", `${id} twice`, "remove one of them");
		labels.set(id, name);
	}
	return labels;
}

function annotationsByImage(path: string, file: CocoFile, labels: ReadonlyMap<number, string>): Map<number, Annotation[]> {
	const byImage = new Map<number, Annotation[]>();
	for (const { id } of file.images) {
		if (byImage.has(id)) throw refuse(`${path}.images`, "each id once", `${id} twice`, "remove one of them");
		byImage.set(id, []);
	}
	file.annotations.forEach(({ image_id, category_id, bbox, iscrowd, segmentation }, i) => {
		const label = labels.get(category_id);
		const siblings = byImage.get(image_id);
		const where = `${path}.annotations[${i}]`;
		if (label === undefined) throw refuse(where, "a category_id out of categories", `${category_id}`, "add the category");
		if (siblings === undefined) throw refuse(where, "an image_id out of images", `${image_id}`, "add the image or remove the annotation");
		const outlined = hasOutline(segmentation) ? { segmentation } : {};
		siblings.push({ label, box: bbox, crowd: Boolean(iscrowd), ...outlined });
	});
	return byImage;
}

/** Data sets with boxes only write `[]` or nothing. */
const hasOutline = (segmentation: unknown) => segmentation != null && !(Array.isArray(segmentation) && segmentation.length === 0);

/** Files outside the folder are refused: an annotation file may come from anywhere. */
function pathOf(annotations: string, folder: string, { id, file_name }: CocoFile["images"][number]): string {
	const relative = normalize(file_name);
	if (isAbsolute(relative) || relative.split(sep).includes("..")) {
		throw refuse(`${annotations}: image ${id}`, "a file name inside the image folder", file_name, "correct file_name");
	}
	return join(folder, relative);
}

function assertSomeExist(folder: string, samples: readonly Sample[]): void {
	if (samples.some(({ path }) => existsSync(path))) return;
	throw refuse(folder, `image files such as ${basename(samples[0].path)}`, "none of them", "name the folder that holds the images");
}

function refuse(where: string, expected: string, found: string, fix: string, cause?: unknown): KintsugiError {
	return new KintsugiError("dataset", { where, expected, found, fix }, { cause });
}
