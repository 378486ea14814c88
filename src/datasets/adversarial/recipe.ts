/** @file What a data set is made of, and the file `build.json` that says so. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../../errors.ts";
import { canonicalJson, digest } from "../../hub/digest.ts";
import { writeDurably } from "./durable.ts";
import { BUILD_FILE, LOCK_FILE } from "./layout.ts";

const plain = z.record(z.string(), z.unknown());
const named = z.strictObject({ name: z.string(), sha256: z.string() });

const recipeSchema = z.strictObject({
	/** The experiment as its file would say it: name, seed, data, classifier, attacks with all options; no path but file names. */
	experiment: plain,
	dataset: named.extend({ images: z.int().positive() }),
	classifier: named.extend({ labels: z.array(z.string()) }),
	/** Ids of the licences whose images were taken; null: all images. */
	licenses: z.array(z.int()).nullable(),
	store: z.strictObject({ clean: z.boolean(), deltas: z.boolean() }),
	/** Images computed together. */
	batch: z.int().positive(),
	/** Threads of one operator; another number may change the last bits. */
	threads: z.int().positive(),
});

const buildSchema = z.strictObject({
	format: z.literal(1),
	recipe: recipeSchema,
	recipe_sha256: z.string(),
	/** Programs that made it. */
	versions: z.record(z.string(), z.string()),
	/** Rows of `metadata.jsonl`. */
	rows: z.int().nonnegative(),
	/** Images that could not be used. */
	skipped: z.array(z.strictObject({ image_id: z.string(), source_file: z.string(), code: z.string(), reason: z.string() })),
	/** sha256 of every file but the images and deltas, whose rows hold theirs; empty until the data set is finished. */
	files: z.record(z.string(), z.string()),
});

/** Everything that decides the bytes of a data set. */
export type Recipe = z.output<typeof recipeSchema>;
export type BuildRecord = z.output<typeof buildSchema>;

const refuse = (where: string, expected: string, found: string, fix: string) =>
	new KintsugiError("dataset", { where, expected, found, fix });

/** The record of a folder; undefined if there is none. Throws `dataset` if it is damaged. */
export async function readBuild(folder: string): Promise<BuildRecord | undefined> {
	const path = join(folder, BUILD_FILE);
	const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return undefined;
		throw error;
	});
	if (text === undefined) return undefined;
	try {
		return buildSchema.parse(JSON.parse(text));
	} catch (cause) {
		throw refuse(path, "the record of an adversarial data set", (cause as Error).message.split("\n")[0], "build into a new folder");
	}
}

export const writeBuild = (folder: string, build: BuildRecord): Promise<void> =>
	writeDurably(join(folder, BUILD_FILE), `${JSON.stringify(JSON.parse(canonicalJson(build)), undefined, "\t")}\n`);

/** Names of the members in which two values differ: "experiment.seed". */
function differences(a: unknown, b: unknown, path = ""): string[] {
	if (canonicalJson(a ?? null) === canonicalJson(b ?? null)) return [];
	const isObject = (v: unknown): v is Record<string, unknown> => v !== null && typeof v === "object" && !Array.isArray(v);
	if (!isObject(a) || !isObject(b)) return [path];
	const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
	return keys.flatMap((key) => differences(a[key], b[key], path === "" ? key : `${path}.${key}`));
}

/** Begins a data set in a new or empty folder, or finds the one that was begun there. Throws `dataset` if it has another recipe. */
export async function openBuild(folder: string, recipe: Recipe, versions: Record<string, string>): Promise<BuildRecord> {
	const found = await readBuild(folder);
	if (found) {
		const other = differences(found.recipe, recipe);
		if (other.length === 0) return found;
		throw refuse(folder, "the recipe with which this data set was begun", `other values of ${other.join(", ")}`, "choose a new folder");
	}
	const entries = (await readdir(folder)).filter((name) => name !== LOCK_FILE && !name.startsWith(`${BUILD_FILE}.`));
	if (entries.length > 0) {
		throw refuse(folder, "a new or empty folder, or a data set that was begun", `${entries.length} other entries`, "choose a new folder");
	}
	const build: BuildRecord = { format: 1, recipe, recipe_sha256: digest(recipe), versions, rows: 0, skipped: [], files: {} };
	await writeBuild(folder, build);
	return build;
}
