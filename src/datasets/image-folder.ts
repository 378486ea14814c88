/** @file Images without labels: the image files of a folder, or named one by one. */
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join, relative, resolve, sep } from "node:path";
import { KintsugiError } from "../errors.ts";
import type { Dataset, Sample } from "./dataset.ts";

const IMAGE_ENDINGS = new Set([".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".bmp", ".svg"]);

export interface ImageFolderOptions {
	/** Folder of the image files. */
	images: string;
	/** Also look into its folders. */
	recursive?: boolean;
	/** Default: the folder's name. */
	name?: string;
	/** Labels of the classifier that will look at the images, if any. */
	labels?: readonly string[];
}

/** All files of a folder whose names end like an image's, sorted by name; throws `dataset` if it is missing or has none. */
export async function openImageFolder({ images, recursive = false, name, labels = [] }: ImageFolderOptions): Promise<Dataset> {
	const folder = resolve(images);
	return toDataset(name ?? basename(folder), await filesOf(folder, recursive), labels);
}

export interface ImageFilesOptions {
	/** Files, and folders whose image files are meant. */
	paths: readonly string[];
	name?: string;
	labels?: readonly string[];
}

/** Named files in the order given, whatever their endings, and the image files of named folders; throws `dataset` if one is missing. */
export async function openImageFiles({ paths, name = "images", labels = [] }: ImageFilesOptions): Promise<Dataset> {
	const found: Sample[] = [];
	for (const given of paths) {
		const path = resolve(given);
		const entry = await stat(path).catch((cause: unknown) => {
			throw refuse(given, "an image file or a folder", "nothing", "check the path", cause);
		});
		found.push(...(entry.isDirectory() ? await filesOf(path, false) : [{ id: basename(path), path }]));
	}
	const byPath = [...new Map(found.map((sample) => [sample.path, sample])).values()];
	const ids = byPath.map(({ id }) => id);
	const samples = byPath.map(({ id, path }) => ({ id: ids.indexOf(id) === ids.lastIndexOf(id) ? id : path, path }));
	return toDataset(name, samples, labels);
}

async function filesOf(folder: string, recursive: boolean): Promise<Sample[]> {
	const entries = await readdir(folder, { withFileTypes: true, recursive }).catch((cause: unknown) => {
		throw refuse(folder, "a folder of images", "none that can be read", "check the path", cause);
	});
	const samples = entries
		.filter((entry) => !entry.isDirectory() && !entry.name.startsWith(".") && IMAGE_ENDINGS.has(extname(entry.name).toLowerCase()))
		.map((entry) => join(entry.parentPath, entry.name))
		.map((path) => ({ id: relative(folder, path).split(sep).join("/"), path }))
		// By code unit, not by locale: the order must not depend on the machine.
		.toSorted((a, b) => (a.id < b.id ? -1 : 1));
	if (samples.length > 0) return samples;
	throw refuse(folder, `files ending in ${[...IMAGE_ENDINGS].join(", ")}`, "none", "name a folder that holds images");
}

function toDataset(name: string, samples: readonly Sample[], labels: readonly string[]): Dataset {
	const hash = createHash("sha256").update(JSON.stringify(samples.map(({ id }) => id)));
	return { name, hash: hash.digest("hex"), labels, samples };
}

function refuse(where: string, expected: string, found: string, fix: string, cause?: unknown): KintsugiError {
	return new KintsugiError("dataset", { where, expected, found, fix }, { cause });
}
