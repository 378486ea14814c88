import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { openCoco } from "../src/datasets/coco.ts";
import { annotationMask } from "../src/datasets/segmentation.ts";
import { decodeImage } from "../src/image/decode.ts";
import { encodePng } from "../src/image/encode.ts";
import { fromRgb } from "../src/image/rgb.ts";
import { experiment, inProcess, TINY_CNN } from "./support/cli.ts";
import { hashesOf, tinyCoco } from "./support/tiny-coco.ts";

interface Row {
	[key: string]: unknown;
	file_name: string;
	attack: string;
	linf: number;
	success_verified: boolean;
	already_fooled: boolean;
	objects: { bbox: number[][]; categories: string[] };
}

const COUNT = 7;
let folder: string;
let file: string;
const at = (...parts: string[]) => join(folder, ...parts);
const rowsOf = (set: string) =>
	readFileSync(at(set, "metadata.jsonl"), "utf8")
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line) as Row);
const verify = (set: string, ...flags: string[]) => inProcess("dataset", "verify", at(set), "--model", TINY_CNN, "--quiet", ...flags);

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-dataset-"));
	file = experiment(at("tiny.yaml"), "", {
		data: await tinyCoco(at("source"), COUNT),
		attacks: [
			{ name: "fgsm", epsilon: 0.05 },
			{ name: "pgd", norm: "l2", epsilon: 0.4, stepSize: 0.1, steps: 10, as: "pgd/l2" },
		],
		purifiers: [],
		evaluation: { chunk: 3 },
	});
	const { code, stderr } = await inProcess("dataset", "build", file, "-o", at("set"), "--deltas", "--quiet");
	expect([code, stderr]).toEqual([0, ""]);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("build", () => {
	it("writes a row and a picture for every image and attack", () => {
		const rows = rowsOf("set");
		expect(rows).toHaveLength(2 * COUNT);
		expect(rows[0]).toMatchObject({
			file_name: "images/fgsm-0.05/000000000040.png",
			clean_file_name: "clean/000000000040.png",
			delta_file: "deltas/fgsm-0.05/000000000040.npy",
			image_id: "40",
			source_file: "00.png",
			source_url: "http://flickr/40",
			license: "Attribution-NonCommercial License",
			labels: ["zero", "nine"],
			objects: { categories: ["zero", "nine"], category_id: [10, 19], iscrowd: [false, true] },
		});
		for (const { file_name } of rows) expect(existsSync(at("set", file_name))).toBe(true);
		expect(readdirSync(at("set", "images")).sort()).toEqual(["fgsm-0.05", "pgd_l2"]);
		const shares = ["fgsm-0.05", "pgd/l2"].map((name) => rows.filter((r) => r.attack === name && r.success_verified).length);
		expect(Math.max(...shares)).toBeGreaterThan(0);
	});

	it("carries boxes and masks over into COCO's format", async () => {
		const images = at("set", "images", "pgd_l2");
		const copy = await openCoco({ images, annotations: at("set", "annotations", "pgd_l2.json") });
		const source = await openCoco({ images: at("source"), annotations: at("source", "instances.json") });
		expect(copy.samples.map(({ id, license, annotations }) => ({ id, license, annotations }))).toEqual(
			source.samples.map(({ id, license, annotations }) => ({ id, license, annotations })),
		);
		expect(copy.categories).toEqual(source.categories);
		expect(copy.samples[1].annotations).toHaveLength(3);
		expect(readFileSync(at("set", "annotations", "pgd_l2.json"), "utf8")).not.toContain('"segmentation":[]');
		expect(annotationMask((copy.samples[0].annotations ?? [])[1], 16, 16).filter((v) => v)).toHaveLength(8);
		for (const { path } of copy.samples) expect(existsSync(path)).toBe(true);
	});

	it("puts rows and pictures into Parquet, with the features that make `datasets` decode them", async () => {
		const instance = await DuckDBInstance.create(":memory:");
		const connection = await instance.connect();
		const parquet = `'${at("set", "data", "fgsm-0.05", "00000.parquet")}'`;
		const { file_name, clean, image, bbox } = (
			await connection.runAndReadAll(
				`SELECT file_name, clean.path AS clean, sha256(image.bytes) = sha256 AS image, objects.bbox[1][3] AS bbox FROM ${parquet} LIMIT 1`,
			)
		).getRowObjectsJS()[0];
		expect([file_name, clean, image, bbox]).toEqual(["images/fgsm-0.05/000000000040.png", "clean/000000000040.png", true, 8]);
		const [metadata] = (await connection.runAndReadAll(`SELECT decode(value) AS v FROM parquet_kv_metadata(${parquet})`)).getRowObjectsJS();
		expect(JSON.parse(metadata.v as string).info.features).toEqual({ image: { _type: "Image" }, clean: { _type: "Image" } });
		connection.closeSync();
		instance.closeSync();
	});

	it("writes a card with what the Hub reads, the licences and the recipe", () => {
		const card = readFileSync(at("set", "README.md"), "utf8");
		const [, yaml] = card.split("---\n");
		expect(parse(yaml)).toMatchObject({
			license: "other",
			size_categories: ["n<1K"],
			configs: [{ config_name: "default" }, { config_name: "fgsm-0.05" }, { config_name: "pgd_l2" }],
		});
		expect(card).toContain("**2 of 7 images may not be shared in changed form (NoDerivs).**");
		expect(card).toContain("| Attribution License | 2 | http://creativecommons.org/licenses/by/2.0/ | name the author |");
		const build = readFileSync(at("set", "build.json"), "utf8");
		expect(card).toContain(JSON.parse(build).recipe_sha256);
		expect(card + build).not.toContain(folder);
	});

	it("started again, keeps everything and writes the same bytes", async () => {
		const before = hashesOf(at("set"));
		const { code, stdout } = await inProcess("dataset", "build", file, "-o", at("set"), "--deltas", "--json", "--quiet");
		expect([code, JSON.parse(stdout).kept]).toEqual([0, 2 * COUNT]);
		expect(hashesOf(at("set"))).toEqual(before);
	});

	it("refuses another recipe and a folder of something else", async () => {
		for (const flags of [["--seed", "1"], ["--count", "3"], ["--attacks", "fgsm-0.05"], ["--no-clean"], ["--threads", "1"]]) {
			const { code, stderr } = await inProcess("dataset", "build", file, "-o", at("set"), "--deltas", ...flags);
			expect([code, stderr]).toEqual([1, expect.stringMatching(/recipe.*choose a new folder/)]);
		}
		const { code, stderr } = await inProcess("dataset", "build", file, "-o", at("source"));
		expect([code, stderr]).toEqual([1, expect.stringContaining("other entries")]);
	});

	it("takes only images under some licences", async () => {
		const { code } = await inProcess("dataset", "build", file, "-o", at("free"), "--licenses", "4", "--attacks", "fgsm-0.05", "--quiet");
		expect(code).toBe(0);
		expect(rowsOf("free").map(({ license }) => license)).toEqual(["Attribution License", "Attribution License"]);
		expect(readFileSync(at("free", "README.md"), "utf8")).not.toContain("NoDerivs");
		const none = await inProcess("dataset", "build", file, "-o", at("none"), "--licenses", "7");
		expect(none.stderr).toContain("choose among 2, 3, 4");
	});

	it("skips what is no image, says so, and keeps the rest", async () => {
		cpSync(at("source"), at("broken"), { recursive: true });
		truncateSync(at("broken", "04.png"), 100);
		rmSync(at("broken", "05.png"));
		const text = readFileSync(file, "utf8").replaceAll(at("source"), at("broken"));
		writeFileSync(at("broken.yaml"), text);
		const result = await inProcess("dataset", "build", at("broken.yaml"), "-o", at("partial"), "--quiet");
		expect(result.code).toBe(1);
		expect(result.stderr.trim().split("\n")).toEqual([
			expect.stringMatching(/skipped: 04\.png/),
			expect.stringMatching(/skipped: 05\.png/),
		]);
		expect(rowsOf("partial")).toHaveLength(2 * (COUNT - 2));
		expect((await verify("partial")).stdout).toContain("sound");
		expect(readFileSync(at("partial", "README.md"), "utf8")).toContain("2 images of the source could not be used");
	});

	it("takes images without annotations, described by flags", async () => {
		const pictures = at("plain");
		cpSync(at("source"), pictures, { recursive: true, filter: (path) => !path.endsWith(".json") });
		renameSync(join(pictures, "00.png"), join(pictures, "test-1.png"));
		const flags = ["--images", pictures, "--canvas", "16", "--epsilon", "8/255", "--count", "3"];
		const { code, stderr } = await inProcess("dataset", "build", ...flags, "-o", at("plain-set"), "--quiet");
		expect([code, stderr]).toEqual([0, ""]);
		const rows = rowsOf("plain-set");
		expect(rows.map(({ file_name, labels }) => [file_name.replace(/^.*\//, ""), labels])).toEqual([
			["000000000001.png", null],
			["000000000002.png", null],
			["000000000003.png", null],
		]);
		expect(Math.max(...rows.map(({ linf }) => linf))).toBeLessThanOrEqual(8 / 255);
		expect((await inProcess("dataset", "verify", at("plain-set"), "--quiet")).stdout).toMatch(/^sound/);
	}, 60_000);

	it.each([
		["neither file nor images", [], /either an experiment file or --images/],
		["an attack that is not in the file", ["FILE", "--attacks", "fgsm-0.5"], /write "fgsm-0.05" instead/],
		["no folder", ["FILE"], /-o, --out/],
	])("wrong use: %s", async (_, args, message) => {
		const flags = args.length === 1 ? [] : ["-o", at("unused")];
		const { code, stderr } = await inProcess("dataset", "build", ...args.map((a) => (a === "FILE" ? file : a)), ...flags);
		expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
		expect(existsSync(at("unused"))).toBe(false);
	});
});

describe("verify", () => {
	it("finds nothing wrong where nothing is", async () => {
		const { code, stdout } = await verify("set");
		expect([code, stdout]).toEqual([
			0,
			expect.stringMatching(/^sound: .*checked budgets of 14, successes of 14 \(logits differ by at most 0/),
		]);
	});

	it("recomputes clean images that are not stored", async () => {
		await inProcess("dataset", "build", file, "-o", at("bare"), "--no-clean", "--quiet");
		expect(existsSync(at("bare", "clean"))).toBe(false);
		expect((await verify("bare")).code).toBe(2);
		const { code, stdout } = await verify("bare", "--images", at("source"));
		expect([code, stdout]).toEqual([0, expect.stringContaining("checked budgets of 14, successes of 14")]);
		expect((await verify("bare", "--images", at("nowhere"))).code).toBe(1);
	});

	/** A picture with one pixel changed by this many levels. */
	async function repaint(path: string, levels: number): Promise<void> {
		const image = fromRgb(await decodeImage(path));
		image.data[0] += (image.data[0] > 0.5 ? -levels : levels) / 255;
		writeFileSync(path, await encodePng(image));
	}
	function edit(set: string, change: (row: Row) => void): void {
		const [first, ...others] = rowsOf(set);
		change(first);
		writeFileSync(at(set, "metadata.jsonl"), [first, ...others].map((row) => `${JSON.stringify(row)}\n`).join(""));
	}
	const PICTURE = "images/fgsm-0.05/000000000040.png";

	it.each<[string, (set: string) => void | Promise<void>, RegExp]>([
		["a changed picture", (set) => repaint(at(set, PICTURE), 1), /000000000040\.png: expected [0-9a-f]{64}/],
		["a changed clean image", (set) => repaint(at(set, "clean/000000000041.png"), 1), /clean\/000000000041\.png: expected/],
		["a missing picture", (set) => rmSync(at(set, PICTURE)), /found no such file/],
		["a picture without a row", (set) => cpSync(at(set, PICTURE), at(set, "images/fgsm-0.05/x.png")), /x\.png: expected a row/],
		["a changed delta", (set) => writeFileSync(at(set, "deltas/pgd_l2/000000000040.npy"), ""), /deltas\/pgd_l2\/000000000040\.npy/],
		["a damaged shard", (set) => truncateSync(at(set, "data/pgd_l2/00000.parquet"), 99), /00000\.parquet: expected/],
		["a changed annotation file", (set) => writeFileSync(at(set, "annotations/clean.json"), "{}"), /clean\.json: expected/],
		[
			"a lie about success",
			(set) => edit(set, (row) => (row.success_verified = !row.success_verified)),
			/success_verified: expected (true|false)/,
		],
		["a lie about the distance", (set) => edit(set, (row) => (row.linf = 1 / 255)), /png: linf: expected/],
		["a lie about the attack", (set) => edit(set, (row) => (row.attack_options = "{}")), /attack_options: expected/],
		[
			"a row twice",
			(set) => writeFileSync(at(set, "metadata.jsonl"), `${JSON.stringify(rowsOf(set)[0])}\n`, { flag: "a" }),
			/one row, found two/,
		],
		[
			"a missing row",
			(set) =>
				writeFileSync(
					at(set, "metadata.jsonl"),
					rowsOf(set)
						.slice(1)
						.map((row) => `${JSON.stringify(row)}\n`)
						.join(""),
				),
			/rows: expected 14, found 13/,
		],
		[
			"another recipe",
			(set) => writeFileSync(at(set, "build.json"), readFileSync(at(set, "build.json"), "utf8").replace('"batch": 3', '"batch": 4')),
			/recipe_sha256/,
		],
	])("finds %s", async (name, damage, message) => {
		const set = `damaged ${name}`;
		cpSync(at("set"), at(set), { recursive: true });
		await damage(set);
		const { code, stdout } = await verify(set);
		expect([code, stdout]).toEqual([1, expect.stringMatching(message)]);
		expect(stdout).toMatch(/\d+ faults/);
	});

	it("finds a change beyond the budget even where every hash was made to fit", async () => {
		cpSync(at("set"), at("forged"), { recursive: true });
		await repaint(at("forged", PICTURE), 60);
		const hash = hashesOf(at("forged"))[PICTURE];
		edit("forged", (row) => Object.assign(row, { sha256: hash, linf: 60 / 255 }));
		const { code, stdout } = await verify("forged");
		expect([code, stdout]).toEqual([1, expect.stringMatching(/linf: expected at most 0\.05, found 0\.2/)]);
	});

	it("says where there is no data set, and needs the model that it cannot know", async () => {
		expect((await inProcess("dataset", "verify", at("source"))).stderr).toContain("expected a data set with build.json");
		const { code, stderr } = await inProcess("dataset", "verify", at("set"));
		expect([code, stderr]).toEqual([2, expect.stringContaining("name it with --model")]);
		expect((await inProcess("dataset", "verify", at("set"), "--no-classifier", "--quiet")).stdout).toMatch(/^sound.*budgets of 14\n$/);
	});
});

it("has manual pages", async () => {
	for (const command of [["dataset"], ["dataset", "build"], ["dataset", "verify"]]) {
		const { code, stdout } = await inProcess(...command, "--help");
		expect(code).toBe(0);
		expect(stdout).toContain("Usage:");
	}
});
