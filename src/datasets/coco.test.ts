import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { openCoco } from "./coco.ts";
import { subset } from "./subset.ts";

const REAL = fileURLToPath(new URL("../../../shared/coco", import.meta.url));

let folder = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "coco-"));
	mkdirSync(join(folder, "val"));
	writeFileSync(join(folder, "val", "b.png"), "");
});
afterEach(() => rmSync(folder, { recursive: true }));

const annotation = (fields: object = {}) => ({ id: 1, image_id: 7, category_id: 18, bbox: [1, 2, 3, 4], area: 12, iscrowd: 0, ...fields });
const content = (fields: object = {}) => ({
	images: [
		{ id: 9, file_name: "a.png", width: 8, height: 8 },
		{ id: 7, file_name: "b.png", width: 8, height: 8 },
	],
	annotations: [annotation()],
	categories: [
		{ id: 18, name: "dog", supercategory: "animal" },
		{ id: 3, name: "car", supercategory: "vehicle" },
	],
	...fields,
});

function open(file: unknown, images = "val") {
	const annotations = join(folder, "instances_val.json");
	writeFileSync(annotations, typeof file === "string" ? file : JSON.stringify(file));
	return openCoco({ images: join(folder, images), annotations });
}

describe("openCoco", () => {
	it("orders images and labels by id and keeps boxes, outlines and crowds", async () => {
		const polygons = [[0, 0, 4, 0, 4, 4]];
		const crowd = { counts: [60, 4], size: [8, 8] };
		const annotations = [
			annotation({ segmentation: polygons }),
			annotation({ category_id: 3, iscrowd: 1, segmentation: crowd }),
			annotation({ segmentation: [] }),
		];
		const dataset = await open(content({ annotations }));
		expect(dataset.name).toBe("instances_val");
		expect(dataset.labels).toEqual(["car", "dog"]);
		expect(dataset.samples.map(({ id, path }) => [id, path])).toEqual([
			["7", join(folder, "val", "b.png")],
			["9", join(folder, "val", "a.png")],
		]);
		expect(dataset.samples[0].annotations).toEqual([
			{ label: "dog", box: [1, 2, 3, 4], crowd: false, segmentation: polygons },
			{ label: "car", box: [1, 2, 3, 4], crowd: true, segmentation: crowd },
			{ label: "dog", box: [1, 2, 3, 4], crowd: false },
		]);
		expect(dataset.samples[1].annotations).toEqual([]);
	});

	it("keeps categories, licences and sources, and does without them", async () => {
		const licenses = [{ id: 4, name: "Attribution License", url: "http://creativecommons.org/licenses/by/2.0/" }];
		const images = [
			{ id: 7, file_name: "b.png", width: 8, height: 8, license: 4, flickr_url: "http://flickr/b" },
			{ id: 9, file_name: "a.png", width: 8, height: 8, license: 5, coco_url: "http://coco/a" },
			{ id: 11, file_name: "c.png", license: null },
		];
		const { samples, categories } = await open(content({ licenses, images }));
		expect(samples.map(({ license, url }) => [license, url])).toEqual([
			[licenses[0], "http://flickr/b"],
			[undefined, "http://coco/a"],
			[undefined, undefined],
		]);
		expect(categories).toEqual([
			{ id: 3, name: "car", supercategory: "vehicle" },
			{ id: 18, name: "dog", supercategory: "animal" },
		]);
		expect(subset(await open(content({ licenses, images })), { count: 1 }).categories).toEqual(categories);
	});

	it("hashes the annotation file", async () => {
		const first = await open(content());
		expect((await open(content())).hash).toBe(first.hash);
		expect((await open(content({ annotations: [] }))).hash).not.toBe(first.hash);
	});

	it.each([
		["no JSON", '{"images": [', /instances_val\.json: expected JSON/],
		["no COCO file", { hello: 1 }, /instances_val\.json\.images: expected COCO's instances format/],
		["no images", content({ images: [] }), /\.images: expected COCO/],
		["a short box", content({ annotations: [annotation({ bbox: [1, 2, 3] })] }), /\.annotations\[0\]\.bbox/],
		["a negative box", content({ annotations: [annotation({ bbox: [1, 2, -3, 4] })] }), /\.annotations\[0\]\.bbox\[2\]/],
		[
			"an unknown category",
			content({ annotations: [annotation({ category_id: 5 })] }),
			/annotations\[0\]: expected a category_id.*found 5/,
		],
		["an unknown image", content({ annotations: [annotation({ image_id: 8 })] }), /annotations\[0\]: expected an image_id.*found 8/],
		["an image twice", content({ images: [content().images[0], content().images[0]] }), /images: expected each id once, found 9 twice/],
		["a category twice", content({ categories: [content().categories[0], content().categories[0]] }), /categories: expected each id once/],
		["a file elsewhere", content({ images: [{ id: 7, file_name: "../../secret.png" }] }), /image 7: expected a file name inside/],
	])("refuses %s in one line", async (_, file, message) => {
		const refused = open(file);
		await expect(refused).rejects.toThrow(message);
		await expect(refused).rejects.toSatisfy((error) => error instanceof KintsugiError && !error.message.includes("\n"));
	});

	it("refuses a missing annotation file and a folder without the images", async () => {
		await expect(openCoco({ images: folder, annotations: join(folder, "none.json") })).rejects.toThrow(
			/none\.json: expected an annotation file/,
		);
		await expect(open(content(), ".")).rejects.toThrow(/expected image files such as b\.png, found none/);
	});

	it("opens the committed evaluation scenes", async () => {
		const scenes = fileURLToPath(new URL("../../data/scenes", import.meta.url));
		const { samples, labels } = await openCoco({
			images: join(scenes, "val"),
			annotations: join(scenes, "annotations/instances_val.json"),
		});
		expect(labels).toHaveLength(24);
		expect(samples).toHaveLength(200);
		expect(samples.filter(({ path }) => !existsSync(path))).toEqual([]);
		const counts = samples.map(({ annotations = [] }) => annotations.length);
		expect([Math.min(...counts), Math.max(...counts)]).toEqual([2, 8]);
	});

	it.skipIf(!existsSync(REAL))("opens real COCO photographs", async () => {
		const { samples, labels } = await openCoco({
			images: join(REAL, "train2017"),
			annotations: join(REAL, "annotations/instances_train2017.json"),
		});
		expect(samples).toHaveLength(206);
		expect(labels).toHaveLength(80);
		expect([labels[0], labels[79]]).toEqual(["person", "toothbrush"]);
		const objects = samples.flatMap(({ annotations = [] }) => annotations);
		expect(objects).toHaveLength(1668);
		expect(objects.filter(({ segmentation }) => segmentation !== undefined)).toHaveLength(1440);
		expect(objects.filter(({ crowd }) => crowd)).toHaveLength(8);
	});
});
