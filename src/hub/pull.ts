/** @file Models from the Hub into the cache: the files of a plan, then the lock file. */
import { mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { KintsugiError } from "../errors.ts";
import { type CachedRepository, cachedRepository, fileSize, readRef, showInSnapshot, writeRef } from "./cache.ts";
import { onDisk } from "./disk.ts";
import { download, hashesOf } from "./download.ts";
import { exclusively } from "./exclusive.ts";
import { LOCK_FILE, type LockedModel, lockModel } from "./lock-file.ts";
import { contradiction, type PlannedFile, type PullPlan } from "./plan.ts";
import type { RemoteFile } from "./repository.ts";
import { hubRequest } from "./request.ts";
import type { RetryOptions } from "./retry.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

export interface PullProgress {
	readonly file: string;
	readonly done: number;
	readonly total: number;
}

export interface PullOptions extends RetryOptions {
	settings?: HubSettings;
	lockFile?: string;
	onProgress?: ((progress: PullProgress) => void) | undefined;
	/** Told when another process pulls the same model. */
	onWait?: ((holder: string) => void) | undefined;
}

/**
 * Fetches what a plan misses, checks the hash of every file, shows the files in the snapshot and writes the lock file. A second
 * process that pulls the same model waits. Throws `model` where content is not what the Hub or the lock file says.
 */
export async function pull(plan: PullPlan, options: PullOptions = {}): Promise<LockedModel> {
	const { settings = hubSettings(), lockFile = LOCK_FILE, onProgress, onWait, ...retry } = options;
	const { signal } = retry;
	const { repository, revision, commit, licence } = plan;
	const cached = cachedRepository(settings.cache, repository);
	const request = hubRequest(settings, signal);
	const lock = join(settings.cache, ".locks", `models--${repository.replace("/", "--")}`, "kintsugi.lock");
	const hold = <T>(work: () => Promise<T>) => onDisk(cached.folder, () => exclusively(lock, work, { signal, onWait }));
	const locked = await hold(async () => {
		await assertSpace(cached, plan);
		const files: Record<string, LockedModel["files"][string]> = {};
		let before = 0;
		for (const file of plan.files) {
			const { path, size, etag } = file;
			signal?.throwIfAborted();
			const report = (bytes: number) => onProgress?.({ file: path, done: before + bytes, total: plan.bytes });
			report(0);
			const url = `${settings.endpoint}/${repository}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
			const present = await checkedBlob(cached, file);
			const sha256 = present ?? (await download({ url, path: cached.blob(etag), size, etag }, { ...retry, request, onBytes: report }));
			assertLockedHash(file, sha256, { repository, lockFile });
			files[path] = { size, etag, sha256 };
			before += size;
			report(0);
		}
		for (const { path, etag } of plan.files) await showInSnapshot(cached, { commit, path, etag });
		if (plan.current || !(await readRef(cached, revision))) await writeRef(cached, revision, commit);
		return { revision, commit, ...(licence ? { licence } : {}), files };
	});
	await onDisk(lockFile, () => lockModel(lockFile, repository, locked));
	return locked;
}

/** sha256 of a blob whose content is right; a damaged one is removed. */
async function checkedBlob(cached: CachedRepository, { etag, size }: RemoteFile): Promise<string | undefined> {
	const path = cached.blob(etag);
	if ((await fileSize(path)) === undefined) return undefined;
	const { sha256, git } = await hashesOf(path, size);
	if (etag === (etag.length === 64 ? sha256 : git)) return sha256;
	await rm(path, { force: true });
	return undefined;
}

function assertLockedHash(file: PlannedFile, sha256: string, { repository, lockFile }: { repository: string; lockFile: string }): void {
	if (file.sha256 === undefined || file.sha256 === sha256) return;
	throw contradiction(`${repository}/${file.path}`, `sha256 ${file.sha256}, as ${lockFile} says`, sha256);
}

async function assertSpace({ folder }: CachedRepository, { missing }: PullPlan): Promise<void> {
	await mkdir(folder, { recursive: true });
	const { bavail, bsize } = await statfs(folder);
	if (bavail * bsize >= missing) return;
	throw new KintsugiError("model", {
		where: folder,
		expected: `${missing} free bytes`,
		found: `${bavail * bsize}`,
		fix: "free some space, or set HF_HUB_CACHE to a larger disk",
	});
}
