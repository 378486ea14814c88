/** @file Artifacts on disk: one folder each, named by its key, written whole or not at all, verified whenever it is read. */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson, sha256 } from "./digest.ts";

/** What a stage produced: a JSON value and files. */
export interface Artifact<T = unknown> {
	readonly key: string;
	readonly data: T;
	/** Absolute paths by file name. */
	readonly files: ReadonlyMap<string, string>;
}

export interface ArtifactStore {
	/** The artifact, or undefined if it is missing or damaged; a damaged one is removed. */
	get<T>(key: string): Promise<Artifact<T> | undefined>;
	/** Writes an artifact atomically; a killed process leaves the whole artifact or none. */
	put<T>(key: string, stage: string, data: T, files?: ReadonlyMap<string, Uint8Array>): Promise<Artifact<T>>;
	/** Damaged artifacts met so far. */
	damaged(): number;
}

interface Manifest {
	stage: string;
	data: unknown;
	files: Record<string, string>;
	/** sha256 of the canonical JSON of the other members. */
	check: string;
}

const MANIFEST = "artifact.json";
const TEMPORARY = "tmp-";

const checkOf = ({ stage, data, files }: Omit<Manifest, "check">): string => sha256(canonicalJson({ stage, data, files }));

/** The manifest and files of a folder; throws if anything is missing or differs from what was written. */
async function readArtifact<T>(key: string, folder: string): Promise<Artifact<T>> {
	const manifest = JSON.parse(await readFile(join(folder, MANIFEST), "utf8")) as Manifest;
	if (manifest.check !== checkOf(manifest)) throw new Error("manifest differs");
	const files = new Map<string, string>();
	for (const [name, hash] of Object.entries(manifest.files)) {
		const path = join(folder, name);
		if (sha256(await readFile(path)) !== hash) throw new Error(`${name} differs`);
		files.set(name, path);
	}
	return { key, data: manifest.data as T, files };
}

/** Opens the artifacts of a run; what a killed process left half written is removed. */
export async function openStore(directory: string): Promise<ArtifactStore> {
	await mkdir(directory, { recursive: true });
	for (const name of await readdir(directory)) {
		if (name.startsWith(TEMPORARY)) await rm(join(directory, name), { recursive: true, force: true });
	}
	const folderOf = (key: string) => join(directory, key.slice(0, 2), key);
	let damaged = 0;

	return {
		async get<T>(key: string) {
			const folder = folderOf(key);
			try {
				return await readArtifact<T>(key, folder);
			} catch (error) {
				const missing = (error as NodeJS.ErrnoException).code === "ENOENT" && !(await exists(folder));
				if (!missing) {
					damaged++;
					await rm(folder, { recursive: true, force: true });
				}
				return undefined;
			}
		},
		async put<T>(key: string, stage: string, data: T, files: ReadonlyMap<string, Uint8Array> = new Map()) {
			const temporary = join(directory, `${TEMPORARY}${randomBytes(8).toString("hex")}`);
			await mkdir(temporary);
			const hashes: Record<string, string> = {};
			for (const [name, bytes] of files) {
				await writeFile(join(temporary, name), bytes);
				hashes[name] = sha256(bytes);
			}
			const body = { stage, data, files: hashes };
			await writeFile(join(temporary, MANIFEST), JSON.stringify({ ...body, check: checkOf(body) }));
			const folder = folderOf(key);
			await mkdir(join(directory, key.slice(0, 2)), { recursive: true });
			await rm(folder, { recursive: true, force: true });
			await rename(temporary, folder);
			return { key, data, files: new Map([...files.keys()].map((name) => [name, join(folder, name)])) };
		},
		damaged: () => damaged,
	};
}

async function exists(folder: string): Promise<boolean> {
	return readdir(folder).then(
		() => true,
		() => false,
	);
}
