/** @file From what a user calls a model to the folder where it lies. */
import type { Dirent } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { KintsugiError } from "../errors.ts";
import { type HashMemo, hashFiles } from "./hash.ts";
import { packageRoot } from "./package-root.ts";
import { BUNDLED_MODELS } from "./registry.ts";

export interface ResolvedModel {
	readonly name: string;
	/** Absolute path of the model's folder. */
	readonly dir: string;
	/** Absolute path of the file, where a single .onnx file was named. */
	readonly file?: string;
	/** `transformers`: config.json beside .onnx files; `diffusers`: model_index.json or weights as .safetensors; `onnx`: one file. */
	readonly layout: "transformers" | "diffusers" | "onnx";
	/** sha256 over weights and configuration; the model card does not count. */
	readonly hash: string;
}

export interface ResolveOptions {
	/** Folder that holds `models/`. */
	root?: string;
	memo?: HashMemo;
}

/** Bytes of a file that Git LFS left in place of the real one. */
const LFS_POINTER = "version https://git-lfs.github.com/spec/";

/**
 * Finds a model by the name of a bundled one, or by the path of a folder or of an .onnx file.
 * A bundled name wins over a folder of that name; write `./mini-clip` for the folder.
 * Throws `model` where nothing is found, or where files are missing, empty or mere pointers.
 */
export async function resolveModel(nameOrPath: string, { root = packageRoot(), memo }: ResolveOptions = {}): Promise<ResolvedModel> {
	const known = BUNDLED_MODELS.find((model) => model.name === nameOrPath);
	const path = known ? join(root, known.folder) : resolve(nameOrPath);
	const found = await stat(path).catch(() => undefined);
	if (!found) {
		if (known) throw refuse(path, "the bundled model", "nothing", "install the package again, or clone the repository again");
		const names = BUNDLED_MODELS.map(({ name }) => name).join(", ");
		throw refuse(
			nameOrPath,
			`a bundled model (${names}), or the path of a model folder or .onnx file`,
			"neither",
			"check the name or the path",
		);
	}
	const { dir, layout, files } = found.isDirectory() ? await readFolder(path) : await readFile(path);
	for (const file of files) await assertWhole(file);
	const hash = await hashFiles(files, { base: dir, ...(memo ? { memo } : {}) });
	return { name: nameOrPath, dir, layout, hash, ...(layout === "onnx" ? { file: path } : {}) };
}

interface Found {
	dir: string;
	layout: ResolvedModel["layout"];
	/** Absolute paths of everything that decides the model's outputs. */
	files: string[];
}

async function readFolder(dir: string): Promise<Found> {
	const files = await modelFiles(dir);
	const has = (name: string) => files.includes(join(dir, name));
	const any = (extension: string) => files.some((file) => extname(file) === extension);
	if (has("model_index.json") || (has("config.json") && any(".safetensors") && !any(".onnx"))) {
		if (any(".safetensors")) return { dir, layout: "diffusers", files };
		throw refuse(dir, "weights as .safetensors", "none", "copy or download the whole model again");
	}
	if (has("config.json")) {
		if (any(".onnx")) return { dir, layout: "transformers", files };
		throw refuse(dir, "weights as .onnx or .safetensors", "none", "copy or download the whole model again");
	}
	throw refuse(dir, "config.json or model_index.json in the folder", "neither", "name the folder of one model, or an .onnx file");
}

async function readFile(path: string): Promise<Found> {
	if (extname(path) !== ".onnx") throw refuse(path, "a model folder or an .onnx file", `a file *${extname(path)}`, "name the folder");
	const dir = dirname(path);
	// Exporters put weights that do not fit into model.onnx beside it: model.onnx_data, model.onnx.data, model.data.
	const stem = basename(path, ".onnx");
	const beside = (await readdir(dir)).filter((name) => name.startsWith(stem) && /^(\.onnx)?[._]data(_\d+)?$/.test(name.slice(stem.length)));
	return { dir, layout: "onnx", files: [path, ...beside.map((name) => join(dir, name))] };
}

/** Every file of a model folder but documentation and hidden files. */
async function modelFiles(dir: string): Promise<string[]> {
	const entries: Dirent[] = await readdir(dir, { withFileTypes: true });
	const nested = await Promise.all(
		entries
			.filter(({ name }) => !name.startsWith(".") && extname(name).toLowerCase() !== ".md" && name !== "LICENSE")
			.map((entry) => {
				const path = join(dir, entry.name);
				return entry.isDirectory() ? modelFiles(path) : [path];
			}),
	);
	return nested.flat().sort();
}

async function assertWhole(path: string): Promise<void> {
	const file = await open(path);
	try {
		const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(LFS_POINTER.length), position: 0 });
		if (bytesRead === 0) throw refuse(path, "a complete file", "an empty one", "copy or download the model again");
		if (buffer.toString("latin1", 0, bytesRead) === LFS_POINTER) {
			throw refuse(path, "the file itself", "a Git LFS pointer to it", "run git lfs pull in that folder");
		}
	} finally {
		await file.close();
	}
}

const refuse = (where: string, expected: string, found: string, fix: string) => new KintsugiError("model", { where, expected, found, fix });
