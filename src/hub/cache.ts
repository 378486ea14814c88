/** @file The cache that Python's huggingface_hub uses, too: models--ORG--NAME/{blobs,snapshots,refs}. */
import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { getRepoFolderName } from "@huggingface/hub";
import { COMMIT } from "./repository.ts";

export interface CachedRepository {
	/** Absolute path of its folder. */
	readonly folder: string;
	/** Where the bytes of a file lie. */
	blob(etag: string): string;
	/** The folder that shows the files of a commit under their names. */
	snapshot(commit: string): string;
}

/** Paths of a repository in a cache; nothing is read or made. */
export function cachedRepository(cache: string, name: string): CachedRepository {
	const folder = join(cache, getRepoFolderName({ type: "model", name }));
	return { folder, blob: (etag) => join(folder, "blobs", etag), snapshot: (commit) => join(folder, "snapshots", commit) };
}

/** Bytes of a file, or undefined where there is none. */
export const fileSize = async (path: string): Promise<number | undefined> =>
	stat(path).then(
		(found) => (found.isFile() ? found.size : undefined),
		() => undefined,
	);

/** Writes a file so that others see all of it or nothing. */
export async function writeWhole(path: string, text: string): Promise<void> {
	await mkdir(dirname(path), { recursive: true });
	const fresh = `${path}.${randomUUID()}.tmp`;
	try {
		await writeFile(fresh, text);
		await rename(fresh, path);
	} catch (error) {
		await rm(fresh, { force: true });
		throw error;
	}
}

/** Shows a blob under its name in a snapshot: a relative link, or a copy where the file system has no links. */
export async function showInSnapshot(repository: CachedRepository, { commit, path, etag }: { commit: string; path: string; etag: string }) {
	const target = join(repository.snapshot(commit), path);
	const blob = repository.blob(etag);
	await mkdir(dirname(target), { recursive: true });
	const fresh = `${target}.${randomUUID()}.tmp`;
	try {
		await symlink(relative(dirname(target), blob), fresh).catch((error: NodeJS.ErrnoException) => {
			if (["EPERM", "ENOTSUP", "ENOSYS", "EINVAL"].includes(error.code ?? "")) return copyFile(blob, fresh);
			throw error;
		});
		await rename(fresh, target);
	} catch (error) {
		await rm(fresh, { force: true });
		throw error;
	}
}

/** Remembers which commit a branch or tag stood for. */
export async function writeRef({ folder }: CachedRepository, revision: string, commit: string): Promise<void> {
	if (revision !== commit) await writeWhole(join(folder, "refs", revision), commit);
}

/** The commit of a revision as the cache remembers it. */
export async function readRef({ folder }: CachedRepository, revision: string): Promise<string | undefined> {
	if (COMMIT.test(revision)) return revision;
	const text = await readFile(join(folder, "refs", revision), "utf8").catch(() => "");
	return COMMIT.test(text.trim()) ? text.trim() : undefined;
}
