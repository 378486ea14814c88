import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openImageFiles, openImageFolder } from "./image-folder.ts";

let folder = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "images-"));
	mkdirSync(join(folder, "more"));
	for (const name of ["b.PNG", "a10.jpg", "a2.jpeg", "notes.txt", ".hidden.png", "more/a2.jpeg"]) writeFileSync(join(folder, name), "");
});
afterEach(() => rmSync(folder, { recursive: true }));

const ids = async (dataset: Promise<{ samples: readonly { id: string }[] }>) => (await dataset).samples.map(({ id }) => id);

describe("image folder", () => {
	it("lists image files by name and nothing else", async () => {
		expect(await ids(openImageFolder({ images: folder }))).toEqual(["a10.jpg", "a2.jpeg", "b.PNG"]);
		expect(await ids(openImageFolder({ images: folder, recursive: true }))).toEqual(["a10.jpg", "a2.jpeg", "b.PNG", "more/a2.jpeg"]);
	});

	it("has no annotations, and a hash of the names", async () => {
		const dataset = await openImageFolder({ images: folder, labels: ["dog"] });
		expect(dataset.samples[0]).toEqual({ id: "a10.jpg", path: join(folder, "a10.jpg") });
		expect(dataset.labels).toEqual(["dog"]);
		rmSync(join(folder, "b.PNG"));
		expect((await openImageFolder({ images: folder })).hash).not.toBe(dataset.hash);
	});

	it("refuses a missing folder and one without images", async () => {
		await expect(openImageFolder({ images: join(folder, "none") })).rejects.toThrow(/none: expected a folder of images/);
		rmSync(join(folder, "more", "a2.jpeg"));
		await expect(openImageFolder({ images: join(folder, "more") })).rejects.toThrow(/expected files ending in .png/);
	});
});

describe("image files", () => {
	it("keeps the order given, opens folders, drops repeats, and tells equal names apart", async () => {
		const paths = [join(folder, "b.PNG"), join(folder, "more"), folder, join(folder, "notes.txt")];
		expect(await ids(openImageFiles({ paths }))).toEqual([
			"b.PNG",
			join(folder, "more", "a2.jpeg"),
			"a10.jpg",
			join(folder, "a2.jpeg"),
			"notes.txt",
		]);
	});

	it("refuses a missing path", async () => {
		await expect(openImageFiles({ paths: [join(folder, "gone.png")] })).rejects.toThrow(/gone\.png: expected an image file or a folder/);
	});
});
