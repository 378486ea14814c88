import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openRecords, type RecordRow } from "./records.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-records-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const row = (position: number, over: Partial<RecordRow> = {}): RecordRow => ({
	position,
	image: `image-${position}`,
	attack: "fgsm",
	purifier: "none",
	repetition: 0,
	truth: ["dog", "it's a cat"],
	target: null,
	scoresClean: [0.5, -1.25],
	scoresBefore: [Math.fround(0.1), 2],
	scoresAfter: [Math.fround(0.1), 2],
	success: true,
	successBeforeRounding: null,
	alreadyFooled: false,
	linf: 8 / 255,
	l2: 1.5,
	nanCount: 0,
	zeroGradient: true,
	gradientEvaluations: 40,
	regions: [{ label: "dog", score: 0.75, box: [1, 2, 3, 4], prompt: "a photo of a dog" }],
	canvasKey: "a",
	beforeKey: "b",
	afterKey: "c",
	slot: 1,
	secondsAttack: 0.25,
	secondsPurify: 0,
	...over,
});

it("reads back what it wrote, in the order of the images, from a file that was closed and opened again", async () => {
	const path = join(folder, "records.duckdb");
	const first = await openRecords(path);
	const failure = { position: 3, image: "image-3", stage: "canvas", code: "image", message: "a.png: expected an image" };
	await first.commit("p", 1, [row(2, { truth: null, success: null })], [failure]);
	await first.commit("p", 0, [row(1), row(0)], []);
	await first.commit("other", 0, [row(9)], []);
	first.close();
	const again = await openRecords(path);
	expect(await again.rows("p")).toEqual([row(0), row(1), row(2, { truth: null, success: null })]);
	expect(await again.failures("p")).toEqual([failure]);
	expect(await again.committed("p")).toEqual([0, 1]);
	again.close();
});

it("replaces a chunk that is committed twice", async () => {
	const records = await openRecords(join(folder, "records.duckdb"));
	await records.commit("p", 0, [row(0), row(1)], []);
	await records.commit("p", 0, [row(0)], []);
	expect(await records.rows("p")).toEqual([row(0)]);
	records.close();
});

it("keeps the old rows of a chunk if a commit fails half way", async () => {
	const records = await openRecords(join(folder, "records.duckdb"));
	await records.commit("p", 0, [row(0)], []);
	await expect(records.commit("p", 0, [row(1), row(2, { nanCount: 0.5 })], [])).rejects.toThrow();
	expect(await records.rows("p")).toEqual([row(0)]);
	records.close();
});
