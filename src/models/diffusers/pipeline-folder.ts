/** @file A diffusers folder as a whole: what model_index.json says, and one hash over everything that decides the outputs. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { readJson } from "./config.ts";

/**
 * Checks that a diffusers folder has the components, each of one of the named classes; gives the class of each.
 * Throws `config` where another class is named.
 */
export async function componentClasses<C extends string>(
	folder: string,
	expected: Readonly<Record<C, readonly string[]>>,
): Promise<Record<C, string>> {
	const where = join(folder, "model_index.json");
	const index = await readJson(where);
	const classes: Partial<Record<C, string>> = {};
	for (const [component, names] of Object.entries(expected) as [C, readonly string[]][]) {
		const entry = index[component];
		const found = Array.isArray(entry) ? entry[1] : undefined;
		if (typeof found !== "string" || !names.includes(found)) {
			throw new KintsugiError("config", {
				where,
				expected: `${component}: ${names.join(" or ")}`,
				found: JSON.stringify(entry) ?? "none",
				fix: "use a pipeline made of these classes",
			});
		}
		classes[component] = found;
	}
	return classes as Record<C, string>;
}

async function fileHash(path: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
	return hash.digest("hex");
}

/** Files that do not decide what a model computes. */
const BESIDE = /^(README|LICENSE|\.)|golden/i;

/** sha256 over the names and contents of the files of these parts of a folder (subfolders, or "." for the folder's own files). */
export async function folderHash(
	folder: string,
	parts: readonly string[],
	isUsed: (file: string) => boolean = () => true,
): Promise<string> {
	const hash = createHash("sha256");
	for (const part of [...parts].sort()) {
		const entries = await readdir(join(folder, part), { withFileTypes: true });
		const names = entries.filter((e) => !e.isDirectory() && !BESIDE.test(e.name)).map((e) => e.name);
		for (const name of names.sort()) {
			const path = join(folder, part, name);
			if (/\.(safetensors|bin|ckpt)$/.test(basename(path)) && !isUsed(path)) continue;
			hash.update(`${part}/${name} ${await fileHash(path)}\n`);
		}
	}
	return hash.digest("hex");
}
