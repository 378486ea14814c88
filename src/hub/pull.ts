/** @file Models from the Hub: first a plan that can be shown, then the files, then the lock file. */
import { mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { KintsugiError } from "../errors.ts";
import { type CachedRepository, cachedRepository, fileSize, readRef, showInSnapshot, writeRef } from "./cache.ts";
import { hubModel, REMOVED } from "./catalogue.ts";
import { onDisk } from "./disk.ts";
import { download, hashesOf } from "./download.ts";
import { exclusively } from "./exclusive.ts";
import { LOCK_FILE, type LockedModel, lockModel, readLockFile } from "./lock-file.ts";
import { REPOSITORY, type RemoteFile, readRepository } from "./repository.ts";
import { hubRequest } from "./request.ts";
import type { RetryOptions } from "./retry.ts";
import { selectFiles } from "./select.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

export interface PlannedFile extends RemoteFile {
	/** What the lock file says; undefined before the first pull. */
	readonly sha256?: string;
	/** Whether a file of that size lies in the cache. */
	readonly present: boolean;
}

export interface PullPlan {
	readonly repository: string;
	readonly revision: string;
	readonly commit: string;
	/** Whether the Hub has just been asked what the revision stands for; else the commit is that of the lock file. */
	readonly current: boolean;
	readonly licence?: string;
	readonly gated: boolean;
	readonly note?: string;
	/** Where the model will lie. */
	readonly dir: string;
	readonly files: readonly PlannedFile[];
	/** Bytes of all files, and of those that are not there. */
	readonly bytes: number;
	readonly missing: number;
}

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

export interface PlanOptions extends PullOptions {
	/** A branch, tag or commit; without it the locked commit, or `main`. */
	revision?: string | undefined;
	/** Prefer weights in float16. */
	float16?: boolean | undefined;
}

/**
 * What a pull of a short name or ORG/NAME would fetch. Where the lock file has the model and the cache has all of it, the network
 * is not asked. Throws `usage` for what is no name, and `model` where the Hub refuses, has no fitting files, or contradicts the lock.
 */
export async function planPull(name: string, options: PlanOptions = {}): Promise<PullPlan> {
	const { settings = hubSettings(), lockFile = LOCK_FILE, revision, float16 = false, signal, ...retry } = options;
	const repository = repositoryOf(name);
	assertRevision(revision);
	const cached = cachedRepository(settings.cache, repository);
	const locked = (await readLockFile(lockFile))[repository];
	const asked = revision ?? locked?.commit ?? "main";
	const note = hubModel(repository)?.note;
	const finish = async (found: { commit: string; licence?: string | undefined; gated: boolean; files: readonly RemoteFile[] }) => {
		const entries = locked?.commit === found.commit ? locked.files : {};
		const files = await Promise.all(
			found.files.map(async (file) => {
				const sha256 = entries[file.path]?.sha256;
				const present = (await fileSize(cached.blob(file.etag))) === file.size;
				return { ...file, present, ...(sha256 ? { sha256 } : {}) };
			}),
		);
		const sum = (some: readonly PlannedFile[]) => some.reduce((bytes, file) => bytes + file.size, 0);
		const { licence, commit, gated } = found;
		const known = { ...(licence ? { licence } : {}), ...(note ? { note } : {}) };
		const revisionKept = revision ?? locked?.revision ?? "main";
		const bytes = sum(files);
		const missing = sum(files.filter(({ present }) => !present));
		return {
			repository,
			revision: revisionKept,
			commit,
			current: asked === revisionKept,
			gated,
			...known,
			dir: cached.snapshot(commit),
			files,
			bytes,
			missing,
		};
	};

	if (locked && asked === locked.commit && !float16) {
		const files = Object.entries(locked.files).map(([path, { size, etag }]) => ({ path, size, etag }));
		const plan = await finish({ ...locked, gated: false, files });
		if (plan.missing === 0) return plan;
	}
	const request = hubRequest(settings, signal);
	const found = await readRepository(repository, { revision: asked, endpoint: settings.endpoint, request, signal, ...retry }).catch(
		(error) => {
			throw movedAway(repository, error);
		},
	);
	if (locked?.commit !== found.commit) return finish({ ...found, files: selectFiles(found, { float16 }) });
	assertAsLocked(found, locked, lockFile);
	return finish({ ...found, files: float16 ? selectFiles(found, { float16 }) : found.files.filter(({ path }) => path in locked.files) });
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

/** The repository that a short name stands for; throws `usage` where it is neither that nor ORG/NAME. */
export function repositoryOf(name: string): string {
	const repository = hubModel(name)?.repository ?? name;
	if (REPOSITORY.test(repository)) return repository;
	throw new KintsugiError("usage", {
		where: "model",
		expected: "a name that `kintsugi models` lists, or ORG/NAME of the Hugging Face Hub",
		found: JSON.stringify(name),
		fix: "check the name",
	});
}

function assertRevision(revision: string | undefined): void {
	if (revision === undefined || (/^[\w.][\w./-]*$/.test(revision) && !revision.split("/").some((part) => ["", ".", ".."].includes(part))))
		return;
	const parts = {
		where: "--revision",
		expected: "a branch, a tag or a commit",
		found: JSON.stringify(revision),
		fix: "check the spelling",
	};
	throw new KintsugiError("usage", parts);
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

/** A commit never changes: another list of files is another commit's, or somebody else's. */
function assertAsLocked(found: { name: string; files: readonly RemoteFile[] }, locked: LockedModel, lockFile: string): void {
	const remote = new Map(found.files.map((file) => [file.path, file]));
	for (const [path, { size, etag }] of Object.entries(locked.files)) {
		const file = remote.get(path);
		if (file?.size === size && file.etag === etag) continue;
		const seen = file ? `${file.size} bytes, ${file.etag}` : "no such file";
		throw contradiction(`${found.name}/${path}`, `${size} bytes, ${etag}, as ${lockFile} says`, seen);
	}
}

const contradiction = (where: string, expected: string, found: string) =>
	new KintsugiError("model", {
		where,
		expected,
		found,
		fix: "do not use this HF_ENDPOINT, or remove the model from the lock file if that is wrong",
	});

/** Adds to a refusal that a repository is known to be gone. */
function movedAway(repository: string, error: unknown): unknown {
	const mirror = REMOVED[repository];
	if (!mirror || !(error instanceof KintsugiError)) return error;
	const fix = `its owner removed this repository; \`kintsugi models pull ${mirror}\` fetches a mirror`;
	return new KintsugiError(error.code, { ...error.parts, fix }, { cause: error });
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
