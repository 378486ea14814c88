/** @file Turns the first fault that a schema finds in an experiment file into one line: where, expected, found, what to do. */
import type { z } from "zod";
import type { ErrorParts } from "../errors.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** JSON Schema, as far as keys are concerned. */
export interface KeySchema {
	properties?: Record<string, KeySchema>;
	const?: unknown;
	items?: KeySchema;
	anyOf?: KeySchema[];
	oneOf?: KeySchema[];
	allOf?: KeySchema[];
}

export interface Complaint extends Omit<ErrorParts, "where"> {
	path: Path;
}

/** Number of insertions, deletions, substitutions and swaps of neighbours between two words. */
export function editDistance(a: string, b: string): number {
	const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? rows[i - 2][j - 2] + 1 : Number.POSITIVE_INFINITY;
			row.push(Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1), swap));
		}
		rows.push(row);
	}
	return rows[a.length][b.length];
}

/** The candidate that was most likely meant; undefined if none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
	const plain = (text: string) => text.toLowerCase().replace(/[-_ ]/g, "");
	const ranked = candidates
		.map((candidate) => ({ candidate, distance: editDistance(plain(word), plain(candidate)) }))
		.sort((a, b) => a.distance - b.distance);
	const best = ranked[0];
	return best && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** "attacks[0].epsilon". */
export const pathText = (path: Path): string =>
	path.reduce<string>(
		(text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`),
		"",
	);

const valueAt = (value: unknown, path: Path): unknown =>
	path.reduce<unknown>((v, key) => (v !== null && typeof v === "object" ? (v as Record<PropertyKey, unknown>)[key] : undefined), value);

const branches = (schema: KeySchema): KeySchema[] => {
	const nested = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
	return nested.length > 0 ? [schema, ...nested.flatMap(branches)] : [schema];
};

/** Branches whose constant properties (kinds and names) do not contradict the value. */
const fitting = (schema: KeySchema, value: unknown): KeySchema[] =>
	branches(schema).filter(({ properties = {} }) =>
		Object.entries(properties).every(([key, { const: constant }]) => {
			const given = valueAt(value, [key]);
			return constant === undefined || given === undefined || given === constant;
		}),
	);

/** Keys that are valid at a path of this value. */
export function keysAt(schema: KeySchema, value: unknown, path: Path): string[] {
	const [first, ...rest] = path;
	const here = fitting(schema, value);
	if (first === undefined) return [...new Set(here.flatMap(({ properties = {} }) => Object.keys(properties)))];
	const next = here.flatMap((s) => (typeof first === "number" ? (s.items ?? []) : (s.properties?.[String(first)] ?? [])));
	return [...new Set(next.flatMap((s) => keysAt(s, valueAt(value, [first]), rest)))];
}

const quoted = (value: unknown): string => (value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80));
const choice = (values: readonly unknown[]): string => values.map(String).join(", ");

/** The branch of a union that the writer most likely meant: the one whose fault lies deepest. */
function meantBranch(errors: readonly (readonly Issue[])[]): Issue | undefined {
	const structural = errors.flat().filter((issue) => issue.path.length > 0 || issue.code === "unrecognized_keys");
	return structural.sort(
		(a, b) => Number(b.code === "unrecognized_keys") - Number(a.code === "unrecognized_keys") || b.path.length - a.path.length,
	)[0];
}

const expectation = (issue: Issue): string =>
	issue.code === "invalid_union"
		? [...new Set(issue.errors.flat().map(expectation))].join(" or ")
		: issue.message
				.replace(/^Invalid (input|option): expected (one of )?/, "")
				.replace(/, received .*$/, "")
				.replace(/^expected /, "");

/** Explains one fault; `value` is the whole that was checked, `schema` its keys. */
export function explain(issue: Issue, value: unknown, schema: KeySchema): Complaint {
	const found = quoted(valueAt(value, issue.path));
	switch (issue.code) {
		case "unrecognized_keys": {
			const [key] = issue.keys;
			const valid = keysAt(schema, value, issue.path);
			const near = nearest(key, valid);
			return {
				path: [...issue.path, key],
				expected: `one of the keys ${choice(valid)}`,
				found: `the unknown key "${key}"`,
				fix: near ? `write "${near}" instead` : "remove it",
			};
		}
		case "invalid_union": {
			if (issue.discriminator !== undefined && issue.errors.length === 0) {
				const options = "options" in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
				const given = valueAt(value, issue.path);
				const near = typeof given === "string" ? nearest(given, options) : undefined;
				return {
					path: issue.path,
					expected: `one of ${choice(options)}`,
					found,
					fix: near ? `write "${near}" instead` : "choose one of them",
				};
			}
			const given = valueAt(value, issue.path);
			const branch = given !== null && typeof given === "object" ? meantBranch(issue.errors) : undefined;
			if (branch) return explain({ ...branch, path: [...issue.path, ...branch.path] }, value, schema);
			return { path: issue.path, expected: expectation(issue), found, fix: "correct the value" };
		}
		case "invalid_value": {
			const given = valueAt(value, issue.path);
			const near = typeof given === "string" ? nearest(given, issue.values.map(String)) : undefined;
			return {
				path: issue.path,
				expected: `one of ${choice(issue.values)}`,
				found,
				fix: near ? `write "${near}" instead` : "choose one of them",
			};
		}
		case "invalid_type":
			return { path: issue.path, expected: `${issue.expected}`, found, fix: found === "nothing" ? "add it" : "correct the value" };
		case "custom":
			return { path: issue.path, expected: "a fitting value", found: issue.message, fix: "correct the option" };
		default:
			return { path: issue.path, expected: issue.message.replace(/^.*?expected /, ""), found, fix: "correct the value" };
	}
}
