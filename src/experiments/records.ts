/** @file Records of a run in DuckDB (design D10): one row an (image, attack, purifier, repetition), committed a chunk at a time. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import {
	BOOLEAN,
	DOUBLE,
	DuckDBInstance,
	type DuckDBType,
	type DuckDBValue,
	FLOAT,
	INTEGER,
	LIST,
	listValue,
	VARCHAR,
} from "@duckdb/node-api";
import { KintsugiError } from "../errors.ts";
import type { Region } from "../regions/region.ts";
import { canonicalJson } from "./digest.ts";

/** The name under which unattacked images are recorded. */
export const CLEAN = "clean";
/** The name under which images without a defence are recorded. */
export const NO_PURIFIER = "none";

export interface RecordRow {
	/** Place of the image in the experiment. */
	position: number;
	image: string;
	/** `clean` or the attack's name. */
	attack: string;
	/** `none` or the purifier's name. */
	purifier: string;
	repetition: number;
	/** True labels; null where the data set has none. */
	truth: readonly string[] | null;
	/** What a targeted attack wants to see. */
	target: string | null;
	scoresClean: readonly number[];
	/** Of the image that enters the purifier. */
	scoresBefore: readonly number[];
	/** Of the image that leaves it; equal to `scoresBefore` without a purifier. */
	scoresAfter: readonly number[];
	/** By the attack's own criterion, as stored and before rounding to 8 bits; null for clean images. */
	success: boolean | null;
	successBeforeRounding: boolean | null;
	/** The clean image meets the criterion already; null for clean images. */
	alreadyFooled: boolean | null;
	linf: number;
	l2: number;
	/** Values met by the attack that were not finite. */
	nanCount: number;
	/** The attack met a gradient that was zero everywhere. */
	zeroGradient: boolean;
	gradientEvaluations: number;
	regions: readonly Region[];
	/** Artifacts and the image's place in them. */
	canvasKey: string;
	beforeKey: string;
	afterKey: string;
	slot: number;
	/** Share of this image in the time of its chunk; never part of a summary. */
	secondsAttack: number;
	secondsPurify: number;
}

export interface FailureRow {
	position: number;
	image: string;
	stage: string;
	code: string;
	message: string;
}

export interface Records {
	/** Replaces all rows of a chunk in one transaction. */
	commit(plan: string, chunk: number, rows: readonly RecordRow[], failures: readonly FailureRow[]): Promise<void>;
	/** Chunks of a plan that are committed. */
	committed(plan: string): Promise<number[]>;
	/** Rows of a plan in the order of image, attack, purifier, repetition. */
	rows(plan: string): Promise<RecordRow[]>;
	failures(plan: string): Promise<FailureRow[]>;
	close(): void;
}

interface Column {
	name: string;
	sql: string;
	type: DuckDBType;
	write: (value: unknown) => DuckDBValue;
	read: (value: unknown) => unknown;
}

const same = (value: unknown) => value;
const column = (name: string, sql: string, type: DuckDBType, convert: Partial<Pick<Column, "write" | "read">> = {}): Column => ({
	name,
	sql,
	type,
	write: (value) => value as DuckDBValue,
	read: same,
	...convert,
});
const text = (name: string) => column(name, "VARCHAR", VARCHAR);
const double = (name: string) => column(name, "DOUBLE", DOUBLE);
const integer = (name: string) => column(name, "INTEGER", INTEGER);
const flag = (name: string) => column(name, "BOOLEAN", BOOLEAN);
const list = (name: string, sql: string, of: DuckDBType) =>
	column(name, sql, LIST(of), { write: (value) => (value === null ? null : listValue(value as DuckDBValue[])) });

const ROW: Record<keyof RecordRow, Column> = {
	position: integer("position"),
	image: text("image"),
	attack: text("attack"),
	purifier: text("purifier"),
	repetition: integer("repetition"),
	truth: list("truth", "VARCHAR[]", VARCHAR),
	target: text("target"),
	scoresClean: list("scores_clean", "FLOAT[]", FLOAT),
	scoresBefore: list("scores_before", "FLOAT[]", FLOAT),
	scoresAfter: list("scores_after", "FLOAT[]", FLOAT),
	success: flag("success"),
	successBeforeRounding: flag("success_before_rounding"),
	alreadyFooled: flag("already_fooled"),
	linf: double("linf"),
	l2: double("l2"),
	nanCount: integer("nan_count"),
	zeroGradient: flag("zero_gradient"),
	gradientEvaluations: integer("gradient_evaluations"),
	regions: column("regions", "VARCHAR", VARCHAR, { write: (value) => canonicalJson(value), read: (value) => JSON.parse(value as string) }),
	canvasKey: text("canvas_key"),
	beforeKey: text("before_key"),
	afterKey: text("after_key"),
	slot: integer("slot"),
	secondsAttack: double("seconds_attack"),
	secondsPurify: double("seconds_purify"),
};

const FAILURE: Record<keyof FailureRow, Column> = {
	position: integer("position"),
	image: text("image"),
	stage: text("stage"),
	code: text("code"),
	message: text("message"),
};

const create = (table: string, columns: Record<string, Column>): string =>
	`CREATE TABLE IF NOT EXISTS ${table} (plan VARCHAR, chunk INTEGER, ${Object.values(columns)
		.map((c) => `${c.name} ${c.sql}`)
		.join(", ")})`;

/** Opens or creates the records; throws `artifact` if another process holds them or the file is damaged. */
export async function openRecords(path: string): Promise<Records> {
	await mkdir(dirname(path), { recursive: true });
	const instance = await DuckDBInstance.create(path, { threads: "1" }).catch((error: Error) => {
		const busy = /lock/i.test(error.message);
		throw new KintsugiError(
			"artifact",
			{
				where: path,
				expected: "a database of records that nobody else is writing",
				found: busy ? "another run that holds it" : error.message.split("\n")[0],
				fix: busy ? "wait for the other run to end, or choose another --out" : "move the file away and run again; finished work is kept",
			},
			{ cause: error },
		);
	});
	const connection = await instance.connect();
	await connection.run(create("records", ROW));
	await connection.run(create("failures", FAILURE));
	await connection.run("CREATE TABLE IF NOT EXISTS chunks (plan VARCHAR, chunk INTEGER)");

	async function insert<T extends object>(
		table: string,
		columns: Record<keyof T & string, Column>,
		plan: string,
		chunk: number,
		items: readonly T[],
	) {
		const entries = Object.entries(columns) as [keyof T & string, Column][];
		const appender = await connection.createAppender(table);
		try {
			for (const item of items) {
				for (const [value, type] of [
					[plan, VARCHAR],
					[chunk, INTEGER],
					...entries.map(([key, c]) => [c.write(item[key]), c.type]),
				] as const) {
					appender.appendValue(value as DuckDBValue, type as DuckDBType);
				}
				appender.endRow();
			}
		} finally {
			appender.closeSync();
		}
	}

	async function select<T>(table: string, columns: Record<keyof T & string, Column>, plan: string, order: string): Promise<T[]> {
		const entries = Object.entries(columns) as [string, Column][];
		const names = entries.map(([, c]) => c.name).join(", ");
		const result = await connection.runAndReadAll(`SELECT ${names} FROM ${table} WHERE plan = $1 ORDER BY ${order}`, [plan]);
		return result.getRowObjectsJS().map((row) => Object.fromEntries(entries.map(([key, c]) => [key, c.read(row[c.name])])) as T);
	}

	return {
		async commit(plan, chunk, rows, failures) {
			await connection.run("BEGIN");
			try {
				for (const table of ["records", "failures", "chunks"]) {
					await connection.run(`DELETE FROM ${table} WHERE plan = $1 AND chunk = $2`, [plan, chunk]);
				}
				await insert("records", ROW, plan, chunk, rows);
				await insert("failures", FAILURE, plan, chunk, failures);
				await connection.run("INSERT INTO chunks VALUES ($1, $2)", [plan, chunk]);
				await connection.run("COMMIT");
			} catch (error) {
				await connection.run("ROLLBACK");
				throw error;
			}
		},
		async committed(plan) {
			const result = await connection.runAndReadAll("SELECT chunk FROM chunks WHERE plan = $1 ORDER BY chunk", [plan]);
			return result.getRowObjectsJS().map((row) => Number(row.chunk));
		},
		rows: (plan) => select<RecordRow>("records", ROW, plan, "position, attack, purifier, repetition"),
		failures: (plan) => select<FailureRow>("failures", FAILURE, plan, "position"),
		close() {
			connection.closeSync();
			instance.closeSync();
		},
	};
}
