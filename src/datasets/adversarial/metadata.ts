/** @file `metadata.jsonl`: rows appended one batch at a time, read as a stream, mended after a crash. */
import { createReadStream, existsSync } from "node:fs";
import { readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { KintsugiError } from "../../errors.ts";
import { sha256 } from "../../hub/digest.ts";
import { appendDurably } from "./durable.ts";
import { METADATA_FILE } from "./layout.ts";
import { type AdversarialRow, rowSchema } from "./row.ts";

interface Line {
	text: string;
	/** Bytes before it. */
	start: number;
	number: number;
}

async function* linesOf(path: string): AsyncGenerator<Line> {
	if (!existsSync(path)) return;
	const stream = createReadStream(path, "utf8");
	let start = 0;
	let number = 0;
	try {
		for await (const text of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
			number++;
			yield { text, start, number };
			start += Buffer.byteLength(text) + 1;
		}
	} finally {
		stream.destroy();
	}
}

function parseRow({ text, number }: Line): AdversarialRow {
	let found = "something else";
	try {
		const result = rowSchema.safeParse(JSON.parse(text));
		if (result.success) return result.data;
		const [issue] = result.error.issues;
		found = `${issue.path.join(".")}: ${issue.message}`;
	} catch (error) {
		found = (error as Error).message;
	}
	throw new KintsugiError("dataset", {
		where: `${METADATA_FILE}:${number}`,
		expected: "a row of an adversarial data set",
		found,
		fix: "remove the lines from there on and build again",
	});
}

/** Rows of a data set in the order in which they were made, one at a time. Throws `dataset` at a row that cannot be understood. */
export async function* readRows(folder: string): AsyncGenerator<AdversarialRow> {
	for await (const line of linesOf(join(folder, METADATA_FILE))) yield parseRow(line);
}

/** Appends rows whose files are on the disk already. */
export const appendRows = (folder: string, rows: readonly AdversarialRow[]): Promise<void> =>
	appendDurably(join(folder, METADATA_FILE), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

/** Files of a row with the hashes they must have. */
export const filesOf = (row: AdversarialRow): { file: string; hash: string }[] => [
	{ file: row.file_name, hash: row.sha256 },
	...(row.delta_file && row.delta_sha256 ? [{ file: row.delta_file, hash: row.delta_sha256 }] : []),
];

async function isWhole(folder: string, row: AdversarialRow): Promise<boolean> {
	for (const { file, hash } of filesOf(row)) {
		const bytes = await readFile(join(folder, file)).catch(() => undefined);
		if (!bytes || sha256(bytes) !== hash) return false;
	}
	return true;
}

/**
 * Names of the images that have rows. What a crash may have left at the end is cut off: half a line, and rows among the last
 * `tail` whose files are not as the rows say. Throws `dataset` for a damaged row before the last.
 */
export async function recoverRows(folder: string, tail: number): Promise<Set<string>> {
	const path = join(folder, METADATA_FILE);
	const done = new Set<string>();
	const last: { row: AdversarialRow; start: number }[] = [];
	let torn: { line: Line; error: unknown } | undefined;
	for await (const line of linesOf(path)) {
		if (torn) throw torn.error;
		try {
			const row = parseRow(line);
			done.add(row.file_name);
			last.push({ row, start: line.start });
			if (last.length > tail) last.shift();
		} catch (error) {
			torn = { line, error };
		}
	}
	let end = torn?.line.start;
	for (const { row, start } of last) {
		if (end !== undefined && end <= start) done.delete(row.file_name);
		else if (!(await isWhole(folder, row))) {
			end = start;
			done.delete(row.file_name);
		}
	}
	if (end !== undefined) await truncate(path, end);
	else if (existsSync(path)) await endLine(path);
	return done;
}

/** A whole row may have lost only its line break. */
async function endLine(path: string): Promise<void> {
	const { size } = await stat(path);
	if (size === 0) return;
	const stream = createReadStream(path, { start: size - 1 });
	for await (const byte of stream) if ((byte as Buffer)[0] !== 0x0a) await appendDurably(path, "\n");
}
