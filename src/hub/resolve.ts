/** @file From what a user calls a model to the folder where it lies. */
import type { Dirent } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { KintsugiError } from "../errors.ts";
import { hubModel } from "./catalogue.ts";
import { type HashMemo, hashFile, hashFiles } from "./hash.ts";
import { packageRoot } from "./package-root.ts";
import { pulledModel } from "./pulled.ts";
import { BUNDLED_MODELS } from "./registry.ts";
import { REPOSITORY } from "./repository.ts";
import { isPickle, LORA_FILE, PICKLE_FIX } from "./select.ts";
import type { HubSettings } from "./settings.ts";

export interface ResolvedModel {
	readonly name: string;
	/** Absolute path of the model's folder. */
	readonly dir: string;
	/** Absolute path of the file, where a single .onnx file was named, and of a LoRA. */
	readonly file?: string;
	/**
	 * `transformers`: config.json beside .onnx files; `diffusers`: model_index.json or weights as .safetensors; `onnx`: one file;
	 * `lora`: one .safetensors file, which adds to another model.
	 */
	readonly layout: "transformers" | "diffusers" | "onnx" | "lora";
	/** sha256 over weights and configuration; the model card does not count. */
	readonly hash: string;
}

export interface ResolveOptions {
	/** Folder that holds `models/`. */
	root?: string;
	/** Folder that relative paths start from; default: the working directory. */
	base?: string;
	memo?: HashMemo;
	/** Default: what the environment says. */
	settings?: HubSettings;
	/** Default: `kintsugi.lock.json` in the working directory. */
	lockFile?: string;
}

/** Bytes of a file that Git LFS left in place of the real one. */
const LFS_POINTER = "version https://git-lfs.github.com/spec/";

/**
 * Finds a model by the name of a bundled one, by the path of a folder, of an .onnx file or of a LoRA, or, in the cache of the Hub, by a
 * catalogue name or ORG/NAME. A bundled or catalogue name wins over a folder of that name (write `./mini-clip` for the folder), a
 * folder over ORG/NAME. Nothing is fetched. Throws `model` where nothing is found, where files are missing, empty or mere pointers, and
 * where a pulled model is not what the lock file says.
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
	const { root = packageRoot(), base = "", memo = new Map(), ...hub } = options;
	const known = BUNDLED_MODELS.find((model) => model.name === nameOrPath);
	const path = known ? join(root, known.folder) : resolve(base, nameOrPath);
	const found = !known && hubModel(nameOrPath)?.name === nameOrPath ? undefined : await stat(path).catch(() => undefined);
	if (!found && known) throw refuse(path, "the bundled model", "nothing", "install the package again, or clone the repository again");
	const { dir, layout, files, file, locked } = found
		? await (found.isDirectory() ? readFolder(path) : readFile(path))
		: await readPulled(nameOrPath, path, hub);
	for (const path of files) await assertWhole(path);
	for (const [name, sha256] of Object.entries(locked ?? {})) await assertAsLocked(join(dir, name), sha256, memo);
	const hash = await hashFiles(files, { base: dir, memo });
	return { name: nameOrPath, dir, layout, hash, ...(file === undefined ? {} : { file }) };
}

async function readPulled(name: string, path: string, options: { settings?: HubSettings; lockFile?: string }): Promise<Found> {
	const repository = hubModel(name)?.repository ?? name;
	if (!REPOSITORY.test(repository) || extname(repository) === ".onnx") {
		const names = BUNDLED_MODELS.map((model) => model.name).join(", ");
		const expected = `a bundled model (${names}), a model of the Hub (\`kintsugi models\` lists some), or the path of a model folder or .onnx file`;
		throw refuse(path, expected, "neither", "check the name or the path");
	}
	const pulled = await pulledModel(repository, options);
	if (!pulled)
		throw refuse(name, "a folder, or a pulled model of the Hub", "neither", `check the path, or run \`kintsugi models pull ${name}\``);
	const { dir, files, locked } = pulled;
	const found = layoutOf(
		dir,
		files.map((file) => join(dir, file)),
	);
	return { ...found, ...(locked ? { locked } : {}) };
}

async function assertAsLocked(file: string, sha256: string, memo: HashMemo): Promise<void> {
	const found = await hashFile(file, memo);
	if (found === sha256) return;
	throw refuse(file, `sha256 ${sha256}, as the lock file says`, found, "run `kintsugi models verify`, and pull the model again");
}

interface Found {
	dir: string;
	layout: ResolvedModel["layout"];
	/** The one that counts, where it is one. */
	file?: string;
	/** Absolute paths of everything that decides the model's outputs. */
	files: string[];
	/** Path in the folder -> sha256 that it must have. */
	locked?: Readonly<Record<string, string>>;
}

const readFolder = async (dir: string): Promise<Found> => layoutOf(dir, await modelFiles(dir));

function layoutOf(dir: string, files: string[]): Found {
	const has = (name: string) => files.includes(join(dir, name));
	const any = (extension: string) => files.some((file) => extname(file) === extension);
	if (has("model_index.json") || (has("config.json") && any(".safetensors") && !any(".onnx"))) {
		if (any(".safetensors")) return { dir, layout: "diffusers", files };
		throw noWeights(dir, "weights as .safetensors", files);
	}
	if (has("config.json")) {
		if (any(".onnx")) return { dir, layout: "transformers", files };
		throw noWeights(dir, "weights as .onnx or .safetensors", files);
	}
	if (has(LORA_FILE)) return { dir, layout: "lora", files: [join(dir, LORA_FILE)], file: join(dir, LORA_FILE) };
	throw refuse(dir, "config.json or model_index.json in the folder", "neither", "name the folder of one model, or an .onnx file");
}

function noWeights(dir: string, expected: string, files: readonly string[]): KintsugiError {
	const pickle = files.find(isPickle);
	if (pickle) return refuse(dir, expected, `only pickles: ${basename(pickle)}`, PICKLE_FIX);
	return refuse(dir, expected, "none", "copy or download the whole model again");
}

async function readFile(path: string): Promise<Found> {
	if (isPickle(path)) throw refuse(path, "a model folder or an .onnx file", `a pickle (${extname(path)})`, PICKLE_FIX);
	if (extname(path) === ".safetensors") return { dir: dirname(path), layout: "lora", files: [path], file: path };
	if (extname(path) !== ".onnx") throw refuse(path, "a model folder or an .onnx file", `a file *${extname(path)}`, "name the folder");
	const dir = dirname(path);
	// Exporters put weights that do not fit into model.onnx beside it: model.onnx_data, model.onnx.data, model.data.
	const stem = basename(path, ".onnx");
	const beside = (await readdir(dir)).filter((name) => name.startsWith(stem) && /^(\.onnx)?[._]data(_\d+)?$/.test(name.slice(stem.length)));
	return { dir, layout: "onnx", files: [path, ...beside.map((name) => join(dir, name))], file: path };
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
