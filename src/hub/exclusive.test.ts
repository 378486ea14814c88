import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exclusively } from "./exclusive.ts";

let folder = "";
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));
const lock = () => join(folder, "locks", "one.lock");

describe("exclusively", () => {
	it("runs one at a time, whatever the work does, and leaves nothing behind", async () => {
		let inside = 0;
		const results = await Promise.allSettled(
			Array.from({ length: 6 }, (_, i) =>
				exclusively(lock(), async () => {
					expect(++inside).toBe(1);
					await sleep(10);
					inside--;
					if (i === 2) throw new Error("work failed");
					return i;
				}),
			),
		);
		expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
		expect(await readdir(join(folder, "locks"))).toEqual([]);
	});

	it("takes over from a process that is gone, at once on this machine, after a minute from another", async () => {
		const { pid } = spawnSync(process.execPath, ["-e", ""]);
		await exclusively(lock(), async () => {});
		await writeFile(lock(), `${pid} ${hostname()} dead`);
		expect(await exclusively(lock(), async () => "mine")).toBe("mine");
		await writeFile(lock(), "1 elsewhere dead");
		const old = new Date(Date.now() - 61_000);
		await utimes(lock(), old, old);
		expect(await exclusively(lock(), async () => "mine")).toBe("mine");
		expect(await readdir(join(folder, "locks"))).toEqual([]);
	});

	it("waits for a living one on another machine, and stops waiting when told", async () => {
		await exclusively(lock(), async () => {});
		await writeFile(lock(), "1 elsewhere alive");
		const control = new AbortController();
		const waiting: string[] = [];
		const work = exclusively(lock(), async () => "mine", { signal: control.signal, onWait: (holder) => waiting.push(holder) });
		setTimeout(() => control.abort(), 250);
		await expect(work).rejects.toMatchObject({ name: "AbortError" });
		expect(waiting).toEqual(["process 1"]);
	});
});
