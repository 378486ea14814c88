/** @file Calibrated thresholds: the logit above which each label counts as present, as a file. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";

/** What this project adds to a model folder, or what `kintsugi calibrate` writes; further keys say how it was made. */
const thresholdsFile = z.object({
	/** The sentence that stood for a label when a CLIP model was calibrated. */
	prompt: z.string().optional(),
	thresholds: z.record(z.string(), z.number()),
});

export type ThresholdsFile = z.output<typeof thresholdsFile>;

/** Reads a file of thresholds; throws `config` if it is not one. */
export async function readThresholds(path: string): Promise<ThresholdsFile> {
	const wrong = (found: string, cause?: unknown) =>
		new KintsugiError(
			"config",
			{ where: path, expected: "a JSON object with thresholds, one number a label", found, fix: "make it with kintsugi calibrate" },
			{ cause },
		);
	const text = await readFile(path, "utf8").catch((cause: Error) => {
		throw wrong("no readable file", cause);
	});
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (cause) {
		throw wrong("no JSON", cause);
	}
	const result = thresholdsFile.safeParse(value);
	if (!result.success) throw wrong(result.error.issues[0].message);
	return result.data;
}

/** The thresholds that a model folder brings with it, if any. */
export async function bundledThresholds(folder: string): Promise<ThresholdsFile> {
	const path = join(folder, "thresholds.json");
	return existsSync(path) ? readThresholds(path) : { thresholds: {} };
}

/** Thresholds `[K]` in the order of the labels; throws `config` if a label has none. */
export function thresholdsOf(labels: readonly string[], thresholds: Readonly<Record<string, number>>, where: string): Float32Array {
	const missing = labels.filter((label) => thresholds[label] === undefined);
	if (missing.length === 0) return Float32Array.from(labels, (label) => thresholds[label]);
	throw new KintsugiError("config", {
		where,
		expected: `a threshold for each of ${labels.length} labels`,
		found: `none for ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", ..." : ""}`,
		fix: "calibrate with these labels",
	});
}
