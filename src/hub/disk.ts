/** @file What is said when a disk is full or may not be written. */
import { KintsugiError } from "../errors.ts";

const CONTINUE = "and run the same command again: it continues where it ended";
const FAULTS: Readonly<Record<string, readonly [found: string, fix: string]>> = {
	ENOSPC: ["a full disk", `free some space, or set HF_HUB_CACHE to a larger disk, ${CONTINUE}`],
	EDQUOT: ["a used-up quota", `free some space, or set HF_HUB_CACHE to another disk, ${CONTINUE}`],
	EROFS: ["a read-only file system", "choose a folder that can be written: HF_HUB_CACHE for the cache, --lock-file for the lock file"],
	EACCES: ["no permission", "choose a folder that can be written: HF_HUB_CACHE for the cache, --lock-file for the lock file"],
};

/** Runs `action`; throws `model` in place of the system's error where the disk is at fault. */
export async function onDisk<T>(where: string, action: () => Promise<T>): Promise<T> {
	try {
		return await action();
	} catch (cause) {
		const { code = "", path = where } = cause as NodeJS.ErrnoException;
		const fault = FAULTS[code];
		if (!fault) throw cause;
		throw new KintsugiError("model", { where: path, expected: "to write there", found: fault[0], fix: fault[1] }, { cause });
	}
}
