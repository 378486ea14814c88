/** @file sha256 over files: what a model is, byte by byte. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";

/** Hashes already computed in this process, by path; an entry holds while size and modification time do. */
export type HashMemo = Map<string, { size: number; modified: number; hash: string }>;

export interface HashOptions {
	/** Paths enter the hash relative to this folder; without it only the contents count. */
	base?: string;
	memo?: HashMemo;
}

/** sha256 of one file's bytes, in hexadecimal. */
export async function hashFile(path: string, memo?: HashMemo): Promise<string> {
	const { size, mtimeMs: modified } = await stat(path);
	const known = memo?.get(path);
	if (known && known.size === size && known.modified === modified) return known.hash;
	const digest = createHash("sha256");
	await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), digest);
	const hash = digest.digest("hex");
	memo?.set(path, { size, modified, hash });
	return hash;
}

/** sha256 of plain data as JSON; the caller keeps the order of keys. */
export const hashData = (data: unknown): string => createHash("sha256").update(JSON.stringify(data)).digest("hex");

/** sha256 over several files, independent of the order in which they are named. */
export async function hashFiles(paths: readonly string[], { base, memo }: HashOptions = {}): Promise<string> {
	const lines = await Promise.all(
		paths.map(async (path) => {
			const name = base === undefined ? "" : relative(base, path).split(sep).join("/");
			return `${name}\0${await hashFile(path, memo)}\n`;
		}),
	);
	const digest = createHash("sha256");
	for (const line of lines.sort()) digest.update(line);
	return digest.digest("hex");
}
