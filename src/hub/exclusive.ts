/** @file One process at a time: a lock file that a dead process does not leave locked for ever. */
import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface ExclusiveOptions {
	signal?: AbortSignal | undefined;
	/** Told once when another process holds the lock. */
	onWait?: ((holder: string) => void) | undefined;
}

/** The holder touches its lock this often; one that was not touched for `STALE` has no living holder on any machine. */
const TOUCH_EVERY = 5_000;
const STALE = 60_000;
const ASK_EVERY = 100;

/**
 * Runs `work` while no other process runs work under the same path; waits for one that does. Locks of dead processes are
 * broken: at once on the same machine, after a minute elsewhere.
 */
export async function exclusively<T>(path: string, work: () => Promise<T>, { signal, onWait }: ExclusiveOptions = {}): Promise<T> {
	await mkdir(dirname(path), { recursive: true });
	const holder = `${process.pid} ${hostname()} ${randomUUID()}`;
	let told = false;
	while (!(await taken(path, holder))) {
		signal?.throwIfAborted();
		const other = await readFile(path, "utf8").catch(() => undefined);
		if (other !== undefined && (await isStale(path, other))) await breakLock(path, other);
		else {
			if (!told && other) {
				told = true;
				onWait?.(`process ${other.split(" ")[0]}`);
			}
			await sleep(ASK_EVERY, undefined, signal ? { signal } : {});
		}
	}
	const touch = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), TOUCH_EVERY);
	try {
		return await work();
	} finally {
		clearInterval(touch);
		if ((await readFile(path, "utf8").catch(() => "")) === holder) await rm(path, { force: true });
	}
}

/** Creates the lock file; false where it is there already. */
async function taken(path: string, holder: string): Promise<boolean> {
	try {
		await writeFile(path, holder, { flag: "wx" });
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
		throw error;
	}
}

async function isStale(path: string, holder: string): Promise<boolean> {
	// A holder that has created its lock and not yet written into it is nobody in particular.
	const [pid, host] = holder.split(" ");
	if (host === hostname()) return !isAlive(Number(pid));
	const found = await stat(path).catch(() => undefined);
	return found !== undefined && Date.now() - found.mtimeMs > STALE;
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}

/** Of several that found the same dead lock one moves it away; whoever moved a living one in between puts it back. */
async function breakLock(path: string, dead: string): Promise<void> {
	const grave = `${path}.${randomUUID()}`;
	const moved = await rename(path, grave).then(
		() => true,
		() => false,
	);
	if (!moved) return;
	if ((await readFile(grave, "utf8")) !== dead) await link(grave, path).catch(() => {});
	await rm(grave, { force: true });
}
