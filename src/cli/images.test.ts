import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { pictures } from "../../test/support/cli.ts";
import { parseExperiment } from "../experiments/load.ts";
import { findImages, forBatches, type ImageFailure } from "./images.ts";

const folder = mkdtempSync(join(tmpdir(), "kintsugi-images-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("reads a batch when it is its turn, so that any number of images fits into memory", async () => {
	const images = await pictures(join(folder, "pictures"), 20);
	const text = "{ name: few, data: { images: ., canvas: { size: 16 } }, classifier: { kind: clip, model: mini-clip } }";
	const experiment = parseExperiment(text, { file: "test" });
	const failures: ImageFailure[] = [];
	const fail = (failure: ImageFailure) => failures.push(failure);
	const samples = await findImages([images, join(folder, "nowhere.png")], fail);
	const seen: string[][] = [];
	await forBatches(samples, { flags: { quiet: true }, stage: "look", experiment, fail }, async (batch) => {
		seen.push(batch.map(({ name }) => name));
		expect(batch.every(({ canvas }) => canvas.dims.join() === "3,16,16")).toBe(true);
		rmSync(join(images, "17.png"), { force: true });
	});
	expect(seen.map((names) => names.length)).toEqual([8, 8, 3]);
	expect(failures.map(({ image, code }) => [image.split("/").at(-1), code])).toEqual([
		["nowhere.png", "image"],
		["17.png", "image"],
	]);
});
