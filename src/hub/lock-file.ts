/** @file The lock file: which commit of which repository was pulled, with size and sha256 of every file. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { writeWhole } from "./cache.ts";
import { canonicalJson } from "./digest.ts";
import { exclusively } from "./exclusive.ts";
import { COMMIT, insidePath, REPOSITORY } from "./repository.ts";

/** Name of the lock file; it lies in the working directory unless told otherwise. */
export const LOCK_FILE = "kintsugi.lock.json";

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));

const lockedModel = z.strictObject({
	/** The branch, tag or commit that was asked for. */
	revision: z.string(),
	commit: z.string().regex(COMMIT),
	licence: z.string().optional(),
	/** Path in the repository -> what it must be. `etag` names the blob in the cache. */
	files: z.record(insidePath, z.strictObject({ size: z.int().nonnegative(), etag: hex(40).or(hex(64)), sha256: hex(64) })),
});
const lockFile = z.strictObject({ version: z.literal(1), models: z.record(z.string().regex(REPOSITORY), lockedModel) });

export type LockedModel = z.output<typeof lockedModel>;
/** Repository -> what is locked. */
export type LockedModels = Readonly<Record<string, LockedModel>>;

/** Reads a lock file; one that is not there locks nothing. Throws `model` where it is damaged. */
export async function readLockFile(path: string = LOCK_FILE): Promise<LockedModels> {
	const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return undefined;
		throw error;
	});
	if (text === undefined) return {};
	try {
		return lockFile.parse(JSON.parse(text)).models;
	} catch (cause) {
		const found = cause instanceof z.ZodError ? `${cause.issues[0].path.join(".")}: ${cause.issues[0].message}` : "something else";
		const parts = {
			where: resolve(path),
			expected: "a lock file of version 1",
			found,
			fix: "restore it, or remove it and pull the models again",
		};
		throw new KintsugiError("model", parts, { cause });
	}
}

/** Writes one model into the lock file and leaves the others as they are, also when two processes do so at once. */
export async function lockModel(path: string, repository: string, model: LockedModel): Promise<void> {
	await exclusively(`${path}.lock`, async () => {
		const models = { ...(await readLockFile(path)), [repository]: model };
		const sorted: unknown = JSON.parse(canonicalJson({ version: 1, models }));
		await writeWhole(path, `${JSON.stringify(sorted, undefined, "\t")}\n`);
	});
}
