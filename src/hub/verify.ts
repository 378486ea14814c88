/** @file Are the pulled models what the lock file says, byte by byte? */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { cachedRepository } from "./cache.ts";
import { hashFile } from "./hash.ts";
import { LOCK_FILE, readLockFile } from "./lock-file.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

export interface VerifiedFile {
	readonly repository: string;
	readonly path: string;
	/** Absolute path in the cache. */
	readonly file: string;
	readonly state: "right" | "missing" | "wrong size" | "wrong content";
}

/** Hashes every locked file of the cache, without the network. Throws `model` for a damaged lock file. */
export async function verifyModels({
	settings = hubSettings(),
	lockFile = LOCK_FILE,
	onFile,
}: {
	settings?: HubSettings;
	lockFile?: string;
	onFile?: ((file: VerifiedFile) => void) | undefined;
} = {}): Promise<VerifiedFile[]> {
	const verified: VerifiedFile[] = [];
	for (const [repository, { commit, files }] of Object.entries(await readLockFile(lockFile))) {
		const dir = cachedRepository(settings.cache, repository).snapshot(commit);
		for (const [path, { size, sha256 }] of Object.entries(files)) {
			const file = join(dir, path);
			const found = { repository, path, file, state: await stateOf(file, size, sha256) };
			onFile?.(found);
			verified.push(found);
		}
	}
	return verified;
}

async function stateOf(file: string, size: number, sha256: string): Promise<VerifiedFile["state"]> {
	const found = await stat(file).catch(() => undefined);
	if (!found?.isFile()) return "missing";
	if (found.size !== size) return "wrong size";
	return (await hashFile(file)) === sha256 ? "right" : "wrong content";
}
