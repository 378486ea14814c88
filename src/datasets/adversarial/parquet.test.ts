/** @file Parquet shards of more rows than DuckDB is given at once, read back by DuckDB. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, expect, test } from "vitest";
import { writeShards } from "./parquet.ts";
import type { AdversarialRow } from "./row.ts";

const folder = mkdtempSync(join(tmpdir(), "kintsugi-parquet-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pair: [number, number] = [1, 1];
const ranking = { labels: ["cat", "dog"], logits: [2.5, -1] };

/** Row `n` of an attack, with a file in place of its picture. */
function rowWithPicture(n: number, bytes: number): AdversarialRow {
	const file_name = `images/a/${n}.png`;
	writeFileSync(join(folder, file_name), Buffer.alloc(bytes, `${n},`));
	return {
		file_name,
		image_id: `${n}`,
		source_file: `${n}.jpg`,
		source_sha256: "0".repeat(64),
		source_url: null,
		license: null,
		license_url: null,
		width: 16,
		height: 16,
		source_width: 16,
		source_height: 16,
		canvas_scale: pair,
		canvas_offset: pair,
		attack: "a",
		attack_options: "{}",
		attack_options_sha256: "0".repeat(64),
		norm: "linf",
		epsilon: 0.1,
		threat: "static",
		seed: n,
		labels: ["it's"],
		target: null,
		top5_before: ranking,
		top5_after: ranking,
		already_fooled: false,
		success_before_rounding: true,
		success_after_rounding: true,
		success_verified: true,
		linf: 0.1,
		l2: 1.5,
		zero_gradient: false,
		nan_count: 0,
		gradient_evaluations: 3,
		classifier: "network",
		classifier_sha256: "0".repeat(64),
		sha256: "0".repeat(64),
		clean_sha256: "0".repeat(64),
		objects: { bbox: [[0, 0, 4, 4]], categories: ["it's"], category_id: [1], iscrowd: [false] },
	};
}

async function* rowsOf(count: number, bytes: number): AsyncGenerator<AdversarialRow> {
	for (let n = 0; n < count; n++) yield rowWithPicture(n, bytes);
}

async function read(files: readonly string[]): Promise<{ image_id: string; path: string; size: number; md5: string }[]> {
	const connection = await (await DuckDBInstance.create(":memory:")).connect();
	const list = files.map((file) => `'${join(folder, file)}'`).join(", ");
	const sql = `SELECT image_id, image.path AS path, octet_length(image.bytes) AS size, md5(image.bytes) AS md5 FROM read_parquet([${list}])`;
	const rows = (await connection.runAndReadAll(sql)).getRowObjectsJson();
	connection.closeSync();
	return rows.map((r) => ({ image_id: `${r.image_id}`, path: `${r.path}`, size: Number(r.size), md5: `${r.md5}` }));
}

test.each([
	["one row", 1, 100, 1],
	["a group and one row", 33, 100, 1],
	["several groups, not full", 75, 100, 1],
	["several shards, the last not full", 75, 500_000, 3],
])("%s: every row with its own picture, in order", async (_, count, bytes, shards) => {
	mkdirSync(join(folder, "images/a"), { recursive: true });
	const files = await writeShards(folder, "a", rowsOf(count, bytes));
	expect(files).toHaveLength(shards);
	const rows = await read(files);
	expect(rows.map((r) => r.image_id)).toEqual(Array.from({ length: count }, (_, n) => `${n}`));
	for (const { path, size, md5 } of rows) {
		expect(size).toBe(bytes);
		expect(md5).toBe(
			createHash("md5")
				.update(readFileSync(join(folder, path)))
				.digest("hex"),
		);
	}
});

test("no rows are no shards", async () => {
	expect(await writeShards(folder, "a", rowsOf(0, 1))).toEqual([]);
});
