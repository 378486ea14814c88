/** @file Reads the folder of a model as the Hub lays it out: config.json, preprocessor_config.json, onnx/. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import type { Preprocessing } from "../image/preprocess.ts";
import { preprocessingFromConfig } from "../image/preprocessing-config.ts";

/** Parses a JSON file of a model folder; throws `model` where it is missing, malformed or not as the schema says. */
export function readModelJson<S extends z.ZodType>(folder: string, file: string, schema: S): z.output<S> {
	const where = join(folder, file);
	const refuse = (expected: string, found: string, cause?: unknown) =>
		new KintsugiError("model", { where, expected, found, fix: "check that the model folder is complete" }, { cause });
	let json: unknown;
	try {
		json = JSON.parse(readFileSync(where, "utf8"));
	} catch (cause) {
		const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
		throw refuse("a JSON file", missing ? "no such file" : "something else", cause);
	}
	const parsed = schema.safeParse(json);
	if (parsed.success) return parsed.data;
	const [issue] = parsed.error.issues;
	throw refuse(`a valid ${issue.path.join(".") || "object"}`, issue.message, parsed.error);
}

/** What preprocessor_config.json of a model folder asks for. */
export const readPreprocessing = (folder: string): Preprocessing =>
	preprocessingFromConfig(
		readModelJson(folder, "preprocessor_config.json", z.record(z.string(), z.unknown())),
		join(folder, "preprocessor_config.json"),
	);
