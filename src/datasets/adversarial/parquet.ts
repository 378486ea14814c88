/** @file Parquet shards with the pictures in them, as the Hugging Face Hub shows them, written by DuckDB. */
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { sync } from "./durable.ts";
import { shardFile } from "./layout.ts";
import { type AdversarialRow, SQL_TYPES } from "./row.ts";

/** A shard ends with the row that brings its pictures to this size: it is put together in memory. */
const SHARD_BYTES = 16 * 1024 * 1024;
/** Few rows a group, so that a reader of one picture does not load hundreds. */
const GROUP_ROWS = 32;

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const list = (paths: readonly string[]): string => `[${paths.map(quote).join(", ")}]`;

/** The columns that Python's `datasets` shall decode as pictures; it infers the others. */
const features = (pictures: readonly string[]): string =>
	JSON.stringify({ info: { features: Object.fromEntries(pictures.map((name) => [name, { _type: "Image" }])) } });

/** Writes the rows of one attack as shards; returns their paths in the data set. */
export async function writeShards(folder: string, attackFolder: string, rows: AsyncIterable<AdversarialRow>): Promise<string[]> {
	const written: string[] = [];
	const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
	const connection = await instance.connect();
	const run: Run = async (sql) => void (await connection.run(sql));
	let group: AdversarialRow[] = [];
	let bytes = 0;
	/** Columns of the begun shard that hold pictures. */
	let pictures: string[] = [];
	const add = async () => {
		if (group.length === 0) return;
		await addGroup(folder, group, { begun: pictures.length > 0, run });
		pictures = picturesOf(group[0]).map(({ column }) => column);
		group = [];
	};
	const flush = async () => {
		await add();
		if (pictures.length === 0) return;
		const file = shardFile(attackFolder, written.length);
		await copyShard(join(folder, file), pictures, run);
		written.push(file);
		[bytes, pictures] = [0, []];
	};
	try {
		for await (const row of rows) {
			group.push(row);
			for (const file of picturesOf(row)) bytes += (await stat(join(folder, file.path))).size;
			if (bytes >= SHARD_BYTES) await flush();
			else if (group.length === GROUP_ROWS) await add();
		}
		await flush();
	} finally {
		connection.closeSync();
		instance.closeSync();
	}
	return written;
}

type Run = (sql: string) => Promise<void>;

const picturesOf = (row: AdversarialRow): { column: string; name: keyof AdversarialRow; path: string }[] => [
	{ column: "image", name: "file_name", path: row.file_name },
	...(row.clean_file_name === undefined ? [] : [{ column: "clean", name: "clean_file_name" as const, path: row.clean_file_name }]),
];

/** Adds rows with their pictures to the table `shard`: few at a time, as DuckDB holds what it joins several times. */
async function addGroup(folder: string, rows: readonly AdversarialRow[], { begun, run }: { begun: boolean; run: Run }): Promise<void> {
	const pictures = picturesOf(rows[0]);
	const names = Object.keys(rows[0]) as (keyof AdversarialRow)[];
	const table = join(folder, ".rows.jsonl");
	await writeFile(table, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
	const types = names.map((name) => `${name}: ${quote(SQL_TYPES[name])}`).join(", ");
	const columns = [
		...pictures.map(({ column, name }) => `{'bytes': ${column}_file.content, 'path': rows.${name}} AS ${column}`),
		...names.map((name) => `rows.${name}`),
	];
	const blobs = pictures.map(({ column }, i) => {
		const paths = rows.map((row) => join(folder, picturesOf(row)[i].path));
		return `POSITIONAL JOIN read_blob(${list(paths)}) AS ${column}_file`;
	});
	const source = `read_json(${quote(table)}, format = 'newline_delimited', columns = {${types}}) AS rows`;
	await run(`${begun ? "INSERT INTO shard" : "CREATE TABLE shard AS"} SELECT ${columns.join(", ")} FROM ${source} ${blobs.join(" ")}`);
	await rm(table);
}

/** Writes the table `shard` and drops it. */
async function copyShard(path: string, pictures: readonly string[], run: Run): Promise<void> {
	await mkdir(dirname(path), { recursive: true });
	await run(
		`COPY shard TO ${quote(`${path}.new`)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${GROUP_ROWS}, ` +
			`KV_METADATA {huggingface: ${quote(features(pictures))}})`,
	);
	await run("DROP TABLE shard");
	await sync(`${path}.new`);
	await rename(`${path}.new`, path);
}
