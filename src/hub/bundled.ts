/** @file What is known about the bundled models of a checkout: where they lie, how large they are, how good they were measured to be. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { KintsugiError } from "../errors.ts";
import { packageRoot } from "./package-root.ts";
import { BUNDLED_MODELS, type BundledModel, type ModelQuality } from "./registry.ts";

export interface BundledModelState extends BundledModel {
	/** Absolute path of its folder. */
	readonly dir: string;
	/** Bytes of the folder on disk; undefined where it is missing. */
	readonly bytes?: number;
	readonly quality?: ModelQuality;
}

/** The registry, with what is found under `root`. Throws `model` if `models/quality.json` is there but is no JSON object. */
export async function bundledModels({ root = packageRoot() }: { root?: string } = {}): Promise<BundledModelState[]> {
	const quality = await readQuality(join(root, "models", "quality.json"));
	return Promise.all(
		BUNDLED_MODELS.map(async (model) => {
			const dir = join(root, model.folder);
			const bytes = await folderBytes(dir);
			const measured = quality[model.name];
			return { ...model, dir, ...(bytes === undefined ? {} : { bytes }), ...(measured ? { quality: measured } : {}) };
		}),
	);
}

async function readQuality(path: string): Promise<Record<string, ModelQuality | undefined>> {
	const text = await readFile(path, "utf8").catch(() => "{}");
	try {
		const json: unknown = JSON.parse(text);
		if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, ModelQuality | undefined>;
	} catch {
		// Reported below, together with JSON that is no object.
	}
	throw new KintsugiError("model", {
		where: path,
		expected: "a JSON object with one entry a model",
		found: text.slice(0, 40).trim() || "an empty file",
		fix: "restore the file from the repository",
	});
}

async function folderBytes(dir: string): Promise<number | undefined> {
	const names = await readdir(dir, { recursive: true }).catch(() => undefined);
	if (!names) return undefined;
	const sizes = await Promise.all(
		names.map(async (name) => {
			const entry = await stat(join(dir, name));
			return entry.isFile() ? entry.size : 0;
		}),
	);
	return sizes.reduce((sum, size) => sum + size, 0);
}
