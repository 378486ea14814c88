/** @file Models of the Hub that lie in the cache already. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { cachedRepository, fileSize, readRef } from "./cache.ts";
import { LOCK_FILE, readLockFile } from "./lock-file.ts";
import { isPickle } from "./select.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

export interface PulledModel {
	readonly repository: string;
	readonly commit: string;
	/** The snapshot's folder. */
	readonly dir: string;
	/** Files relative to it: those of the lock file, else all but pickles. */
	readonly files: readonly string[];
	readonly bytes: number;
	/** Path -> sha256, where the lock file has it. */
	readonly locked?: Readonly<Record<string, string>>;
}

/** The locked commit of a repository, else what the cache has as its `main`; undefined where any of it is missing. */
export async function pulledModel(
	repository: string,
	{ settings = hubSettings(), lockFile = LOCK_FILE }: { settings?: HubSettings; lockFile?: string } = {},
): Promise<PulledModel | undefined> {
	const cached = cachedRepository(settings.cache, repository);
	const locked = (await readLockFile(lockFile))[repository];
	const commit = locked?.commit ?? (await readRef(cached, "main"));
	if (commit === undefined) return undefined;
	const dir = cached.snapshot(commit);
	const files = locked ? Object.keys(locked.files) : await filesBelow(dir);
	const sizes = await Promise.all(files.map((path) => fileSize(join(dir, path))));
	const whole = sizes.every((size): size is number => size !== undefined);
	if (!whole || files.length === 0) return undefined;
	const hashes = locked && Object.fromEntries(Object.entries(locked.files).map(([path, { sha256 }]) => [path, sha256]));
	return { repository, commit, dir, files, bytes: sizes.reduce((sum, size) => sum + size, 0), ...(hashes ? { locked: hashes } : {}) };
}

async function filesBelow(dir: string): Promise<string[]> {
	const names = await readdir(dir, { recursive: true }).catch(() => []);
	const files = await Promise.all(
		names.map(async (name) => {
			const found = await stat(join(dir, name)).catch(() => undefined);
			return found?.isFile() && !isPickle(name) ? [name] : [];
		}),
	);
	return files.flat().sort();
}
