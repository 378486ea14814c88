/** @file One hash over everything that decides a model's outputs. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";

const BLOCK = 1 << 22;

/** sha256 of a file's bytes, in hexadecimal. */
export function hashFile(path: string): string {
	const hash = createHash("sha256");
	const block = new Uint8Array(BLOCK);
	const file = openSync(path, "r");
	try {
		for (;;) {
			const read = readSync(file, block);
			if (read === 0) return hash.digest("hex");
			hash.update(block.subarray(0, read));
		}
	} finally {
		closeSync(file);
	}
}

/** sha256 of plain data as JSON; the caller keeps the order of keys. */
export const hashData = (data: unknown): string => createHash("sha256").update(JSON.stringify(data)).digest("hex");
