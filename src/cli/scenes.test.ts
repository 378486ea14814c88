import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { scenesCommand } from "./scenes.ts";

let folder = "";
let printed = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "scenes-"));
	printed = "";
	vi.spyOn(process.stdout, "write").mockImplementation((text) => {
		printed += text;
		return true;
	});
});
afterEach(() => {
	vi.restoreAllMocks();
	rmSync(folder, { recursive: true });
});

const silent = { writeErr: () => undefined, writeOut: () => undefined };
const run = (...args: string[]) => scenesCommand().exitOverride().configureOutput(silent).parseAsync(args, { from: "user" });

describe("kintsugi scenes", () => {
	it("draws scenes and says where they are", async () => {
		await run("--count", "2", "--seed", "1", "--out", folder, "--categories", "stop sign, dog", "--styles", "noto", "--json");
		expect(JSON.parse(printed)).toEqual({ scenes: 2, annotations: join(folder, "annotations/instances_val.json") });
		expect(readdirSync(join(folder, "val"))).toEqual(["000000000001.png", "000000000002.png"]);
	});

	it.each([
		["a count that is no number", ["--count", "many"]],
		["an unknown category", ["--count", "1", "--categories", "unicorn"]],
		["an unknown style", ["--count", "1", "--styles", "cubism"]],
		["a split that is a path", ["--count", "1", "--split", "../val"]],
	])("refuses %s", async (_, args) => {
		await expect(run("--out", folder, ...args)).rejects.toMatchObject({ code: "commander.invalidArgument" });
		expect(readdirSync(folder)).toEqual([]);
	});

	it("calls a folder in use and a canvas out of range a wrong use", async () => {
		writeFileSync(join(folder, "mine.txt"), "");
		await expect(run("--count", "1", "--out", folder)).rejects.toMatchObject({
			code: "usage",
			message: expect.stringContaining("--force"),
		});
		await expect(run("--count", "1", "--out", folder, "--size", "9")).rejects.toMatchObject({ code: "usage" });
		expect(readdirSync(folder)).toEqual(["mine.txt"]);
	});
});
