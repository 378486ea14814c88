/** @file What a pull would fetch: shown before anything is. */
import { KintsugiError } from "../errors.ts";
import { cachedRepository, fileSize } from "./cache.ts";
import { hubModel, REMOVED } from "./catalogue.ts";
import { LOCK_FILE, type LockedModel, readLockFile } from "./lock-file.ts";
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

export interface PlanOptions extends RetryOptions {
	settings?: HubSettings;
	lockFile?: string;
	/** A branch, tag or commit; without it the locked commit, or `main`. */
	revision?: string | undefined;
	/** Prefer weights in float16. */
	float16?: boolean | undefined;
}

/**
 * What a pull of a short name or ORG/NAME would fetch: the locked files, unless a revision or float16 is asked for. Where the cache
 * has all of them, the network is not asked. Throws `usage` for what is no name, and `model` where the Hub refuses, has no fitting
 * files, or contradicts the lock.
 */
export async function planPull(name: string, options: PlanOptions = {}): Promise<PullPlan> {
	const { settings = hubSettings(), lockFile = LOCK_FILE, revision, float16 = false, signal, ...retry } = options;
	const repository = repositoryOf(name);
	assertRevision(revision);
	const locked = (await readLockFile(lockFile))[repository];
	const asLocked = revision === undefined && !float16 ? locked : undefined;
	if (asLocked) {
		const files = Object.entries(asLocked.files).map(([path, { size, etag }]) => ({ path, size, etag }));
		const plan = await planOf(repository, { ...asLocked, current: false, gated: false, files }, { settings, locked });
		if (plan.missing === 0) return plan;
	}
	const request = hubRequest(settings, signal);
	const asked = revision ?? locked?.commit ?? "main";
	const found = await readRepository(repository, { revision: asked, endpoint: settings.endpoint, request, signal, ...retry }).catch(
		(error: unknown) => {
			throw movedAway(repository, error);
		},
	);
	if (locked?.commit === found.commit) assertAsLocked(found, locked, lockFile);
	const files = asLocked ? found.files.filter(({ path }) => path in asLocked.files) : selectFiles(found, { float16 });
	const wanted = revision ?? locked?.revision ?? "main";
	return planOf(repository, { ...found, revision: wanted, current: asked === wanted, files }, { settings, locked });
}

type Found = Pick<PullPlan, "revision" | "commit" | "current" | "gated"> & { licence?: string | undefined; files: readonly RemoteFile[] };

/** Compares what was found with the cache. */
async function planOf(
	repository: string,
	{ licence, files: found, revision, commit, current, gated }: Found,
	{ settings, locked }: { settings: HubSettings; locked: LockedModel | undefined },
): Promise<PullPlan> {
	const cached = cachedRepository(settings.cache, repository);
	const entries = locked?.commit === commit ? locked.files : {};
	const files = await Promise.all(
		found.map(async (file) => {
			const sha256 = entries[file.path]?.sha256;
			const present = (await fileSize(cached.blob(file.etag))) === file.size;
			return { ...file, present, ...(sha256 ? { sha256 } : {}) };
		}),
	);
	const sum = (some: readonly PlannedFile[]) => some.reduce((total, file) => total + file.size, 0);
	const note = hubModel(repository)?.note;
	return {
		repository,
		revision,
		commit,
		current,
		gated,
		...(licence ? { licence } : {}),
		...(note ? { note } : {}),
		dir: cached.snapshot(commit),
		files,
		bytes: sum(files),
		missing: sum(files.filter(({ present }) => !present)),
	};
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

/** The Hub and the lock file disagree. */
export const contradiction = (where: string, expected: string, found: string) =>
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
