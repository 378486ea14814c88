/** @file Reads a config.json against the schema of its class; whatever the builder cannot do is refused by name. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { KintsugiError } from "../../errors.ts";

/** A field that the builder supports at one value only; left out means that value. */
export const only = <T extends string | number | boolean | null>(value: T) => z.literal(value).default(() => value);

/** A field that does not change what the network computes at inference. */
export const ignored = z.unknown();

const count = z.int().positive();
/** A positive whole number. */
export const positive = count;
/** One positive whole number a block. */
export const perBlock = z.array(count).min(1);

/** Reads a JSON file; throws `model` where it is missing and `config` where it does not parse. */
export async function readJson(path: string): Promise<Record<string, unknown>> {
	const text = await readFile(path, "utf8").catch(() => {
		throw new KintsugiError("model", { where: path, expected: "a JSON file", found: "no such file", fix: "check the model's folder" });
	});
	try {
		return JSON.parse(text) as Record<string, unknown>;
	} catch (cause) {
		const parts = { where: path, expected: "JSON", found: "text that does not parse", fix: "download the file again" };
		throw new KintsugiError("config", parts, { cause });
	}
}

/**
 * Checks a parsed config.json. Fields whose names begin with "_" are the library's own notes.
 * Throws `config` with every fault: fields that are unknown, wrong, or supported at other values only.
 */
export function parseConfig<S extends z.ZodType>(schema: S, json: Record<string, unknown>, where: string): z.infer<S> {
	const fields = Object.fromEntries(Object.entries(json).filter(([name]) => !name.startsWith("_")));
	const result = schema.safeParse(fields);
	if (result.success) return result.data;
	const faults = result.error.issues.map((issue) => faultOf(issue, fields));
	throw new KintsugiError("config", {
		where,
		expected: faults.map((f) => f.expected).join("; "),
		found: faults.map((f) => f.found).join("; "),
		fix: "use a model of a supported configuration",
	});
}

function faultOf(issue: z.core.$ZodIssue, fields: Record<string, unknown>): { expected: string; found: string } {
	if (issue.code === "unrecognized_keys") {
		return { expected: "known fields only", found: issue.keys.map((key) => `${key} = ${JSON.stringify(fields[key])}`).join(", ") };
	}
	const path = issue.path.join(".");
	let value: unknown = fields;
	for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
	const expected = issue.code === "invalid_value" ? issue.values.map((v) => JSON.stringify(v)).join(" or ") : issue.message;
	return { expected: `${path}: ${expected}`, found: value === undefined ? `no ${path}` : `${path} = ${JSON.stringify(value)}` };
}

/** Throws `config` unless the file says that it is of one of these classes. */
export function requireClass<C extends string>(json: Record<string, unknown>, classes: readonly C[], where: string): C {
	const name = json._class_name;
	const found = classes.find((known) => known === name);
	if (found !== undefined) return found;
	throw new KintsugiError("config", {
		where,
		expected: `_class_name: ${classes.join(" or ")}`,
		found: JSON.stringify(name) ?? "none",
		fix: "use a model of a class that is supported",
	});
}

/** Throws `config` unless the condition holds: for rules that join several fields. */
export function requireConfig(holds: boolean, where: string, expected: string, found: unknown): asserts holds {
	if (holds) return;
	throw new KintsugiError("config", { where, expected, found: JSON.stringify(found), fix: "use a model of a supported configuration" });
}
