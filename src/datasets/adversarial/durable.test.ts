import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { asOnlyWriter, writeDurably } from "./durable.ts";
import { LOCK_FILE } from "./layout.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-durable-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("writes whole files and leaves nothing beside them", async () => {
	await writeDurably(join(folder, "deep", "file"), "one");
	await writeDurably(
		join(folder, "deep", "file"),
		(async function* () {
			yield "t";
			yield "wo";
		})(),
	);
	expect(readFileSync(join(folder, "deep", "file"), "utf8")).toBe("two");
	expect(readdirSync(join(folder, "deep"))).toEqual(["file"]);
});

it("keeps a file as it was where the new content fails", async () => {
	await writeDurably(join(folder, "file"), "old");
	const failing = (async function* () {
		yield "new";
		throw new Error("no more");
	})();
	await expect(writeDurably(join(folder, "file"), failing)).rejects.toThrow("no more");
	expect(readFileSync(join(folder, "file"), "utf8")).toBe("old");
});

it("lets one process write at a time, and forgets the dead", async () => {
	await asOnlyWriter(folder, async () => {
		await expect(asOnlyWriter(folder, async () => {})).rejects.toThrow(`process ${process.pid} at work on it`);
	});
	expect(existsSync(join(folder, LOCK_FILE))).toBe(false);
	const { pid } = spawnSync(process.execPath, ["-e", ""]);
	writeFileSync(join(folder, LOCK_FILE), String(pid));
	expect(await asOnlyWriter(folder, async () => "done")).toBe("done");
});
