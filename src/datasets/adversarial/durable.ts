/** @file Files that survive a power cut, and a lock against a second writer. */
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { LOCK_FILE } from "./layout.ts";

/** Opens a file for the time of `work`. */
async function withFile(path: string, flags: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
	const file = await open(path, flags);
	await work(file).finally(() => file.close());
}

/** Writes a file under a temporary name, forces it to the disk, and gives it its name: readers see all of it or nothing. */
export async function writeDurably(path: string, content: string | Uint8Array | AsyncIterable<string>): Promise<void> {
	await mkdir(dirname(path), { recursive: true });
	const temporary = `${path}.new`;
	await withFile(temporary, "w", async (file) => {
		await writeFile(file, content);
		await file.sync();
	});
	await rename(temporary, path);
}

/** Forces a file, or the names in a folder, to the disk. */
export const sync = (path: string): Promise<void> => withFile(path, "r", (file) => file.sync());

/** Appends text and forces it to the disk. */
export const appendDurably = (path: string, text: string): Promise<void> =>
	withFile(path, "a", async (file) => {
		await file.appendFile(text);
		await file.sync();
	});

const isAlive = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
};

/** Runs `work` as the only writer of a folder; the lock of a process that is gone does not count. Throws `artifact` if another one writes. */
export async function asOnlyWriter<T>(folder: string, work: () => Promise<T>): Promise<T> {
	const path = join(folder, LOCK_FILE);
	await mkdir(folder, { recursive: true });
	const take = () => writeFile(path, String(process.pid), { flag: "wx" });
	try {
		await take();
	} catch (cause) {
		if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
		const pid = Number(await readFile(path, "utf8"));
		if (pid > 0 && isAlive(pid)) {
			throw new KintsugiError("artifact", {
				where: folder,
				expected: "a data set that nobody else is writing",
				found: `process ${pid} at work on it`,
				fix: `wait for it to end; if there is none, delete ${LOCK_FILE}`,
			});
		}
		await rm(path, { force: true });
		await take();
	}
	try {
		return await work();
	} finally {
		await rm(path, { force: true });
	}
}
