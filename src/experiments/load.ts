/** @file Reads experiment files: YAML, checked against the schema, every fault in one line with its place in the file. */
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { type Document, LineCounter, parseDocument } from "yaml";
import { KintsugiError } from "../errors.ts";
import type { PurifierSpec } from "../purifiers/registry.ts";
import { type RegionsOptions, regionsSchema } from "../regions/regions.ts";
import { explain, type KeySchema, nearest, pathText } from "./complaint.ts";
import type { NamedAttack } from "./plan.ts";
import { CLEAN, NO_PURIFIER } from "./records.ts";
import { type ClassifierFile, type ExperimentFile, epsilonText, experimentKeys, experimentSchema, familyName } from "./schema.ts";

/** An experiment with every default filled in and every name settled. */
export interface Experiment extends Omit<ExperimentFile, "attacks" | "purifiers" | "transfer"> {
	/** Folder that relative paths start from. */
	base: string;
	attacks: NamedAttack[];
	purifiers: { name: string; spec: PurifierSpec; purify: string[]; regions: RegionsOptions }[];
	/** Other classifiers, attacked and measured by `kintsugi transfer`. */
	transfer: { name: string; file: ClassifierFile; optional: boolean }[];
}

type Place = (path: readonly PropertyKey[]) => string;

/** Reads and checks an experiment file. Throws `config` with the file, the line and what to do. */
export async function loadExperiment(path: string): Promise<Experiment> {
	const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
		const found = cause.code === "ENOENT" ? "no file of that name" : cause.code === "EISDIR" ? "a folder" : cause.message;
		throw new KintsugiError("config", { where: path, expected: "an experiment file", found, fix: "check the path" }, { cause });
	});
	return parseExperiment(text, { file: path });
}

export interface ParseOptions {
	/** Names the text in messages; relative paths start from its folder. */
	file: string;
	/** False where the text is not one that a person wrote: messages then name no lines. */
	lines?: boolean;
}

/** Checks the text of an experiment file. Throws `config` like `loadExperiment`. */
export function parseExperiment(text: string, { file, lines: numbered = true }: ParseOptions): Experiment {
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines });
	const [fault] = document.errors;
	if (fault) {
		const line = fault.linePos?.[0].line;
		const found = fault.message.split("\n")[0].replace(/ at line \d+, column \d+:?$/, "");
		throw new KintsugiError("config", {
			where: `${basename(file)}${line ? `:${line}` : ""}`,
			expected: "YAML",
			found,
			fix: "correct the line",
		});
	}
	const place: Place = (at) => {
		const line = numbered ? lineOf(document, lines, at) : undefined;
		return `${basename(file)}${line ? `:${line}` : ""}${at.length > 0 ? `: ${pathText(at)}` : ""}`;
	};
	const value: unknown = document.toJS() ?? {};
	const result = experimentSchema.safeParse(value);
	if (!result.success) {
		const { issues } = result.error;
		const first = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
		const { path, ...parts } = explain(first, value, experimentKeys() as KeySchema);
		throw new KintsugiError("config", { where: place(path), ...parts });
	}
	return settle(result.data, dirname(resolve(file)), place);
}

/** Line of the deepest node of a path that is there; for a missing key the line of its parent. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number | undefined {
	for (let end = path.length; end >= 0; end--) {
		const node: unknown = end === 0 ? document.contents : document.getIn(path.slice(0, end), true);
		const range = (node as { range?: [number, number, number] } | null | undefined)?.range;
		if (range) return lines.linePos(range[0]).line;
	}
	return undefined;
}

/** Names attacks and purifiers, and checks what a schema cannot see. */
function settle(file: ExperimentFile, base: string, place: Place): Experiment {
	const attacks = file.attacks.flatMap(({ own, rest }, i) =>
		rest.map((spec) => {
			const family = own.as ?? familyName(spec);
			const single = own.as !== undefined && rest.length === 1;
			return { name: single ? family : `${family}-${epsilonText(spec.epsilon)}`, family, spec, at: ["attacks", i] };
		}),
	);
	assertUnique(attacks, place);
	const names = attacks.map(({ name }) => name);
	const images = [CLEAN, ...names];
	const purifiers = file.purifiers.flatMap(({ own, rest, given }, i) => {
		if (rest.name === "none") return [];
		for (const wanted of own.purify ?? []) {
			if (images.includes(wanted)) continue;
			const near = nearest(wanted, images);
			throw new KintsugiError("config", {
				where: place(["purifiers", i, "purify"]),
				expected: `names out of ${images.join(", ")}`,
				found: `"${wanted}"`,
				fix: near ? `write "${near}" instead` : "name an attack of this file",
			});
		}
		const regions = regionsSchema.parse({ ...file.regions, ...(given.regions as object) });
		return [{ name: own.as ?? rest.name, spec: rest, purify: own.purify ?? images, regions, at: ["purifiers", i] }];
	});
	assertUnique(purifiers, place);
	const transfer = [
		{ own: { as: undefined, optional: false }, rest: file.classifier, at: ["classifier"] },
		...file.transfer.map((entry, i) => ({ ...entry, at: ["transfer", i] })),
	].map(({ own, rest, at }) => ({ name: own.as ?? modelName(rest), file: rest, optional: own.optional, at }));
	assertUnique(transfer, place);
	const { height, width, size } = file.data.canvas;
	if ((size === undefined) === (height === undefined || width === undefined)) {
		throw new KintsugiError("config", {
			where: place(["data", "canvas"]),
			expected: "either size, or height and width",
			found: size === undefined ? "neither" : "both",
			fix: "give the side of a square canvas as size",
		});
	}
	return {
		...file,
		base,
		attacks: attacks.map(({ at: _, ...attack }) => attack),
		purifiers: purifiers.map(({ at: _, ...purifier }) => purifier),
		transfer: transfer.slice(1).map(({ at: _, ...other }) => other),
	};
}

/** What a classifier is called where nobody named it. */
export const modelName = ({ model }: ClassifierFile): string => basename(model, ".onnx");

function assertUnique(items: readonly { name: string; at: readonly PropertyKey[] }[], place: Place): void {
	for (const [i, { name, at }] of items.entries()) {
		const reserved = name === CLEAN || name === NO_PURIFIER;
		if (!reserved && items.findIndex((other) => other.name === name) === i) continue;
		throw new KintsugiError("config", {
			where: place(at),
			expected: reserved ? `a name other than ${CLEAN} and ${NO_PURIFIER}` : "a name of its own",
			found: `"${name}"${reserved ? "" : " twice"}`,
			fix: "set another name with `as`",
		});
	}
}
