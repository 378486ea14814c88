/** @file Models on disk: reading without loading the weights, writing beside them. */
import { closeSync, fstatSync, openSync, readSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve, sep } from "node:path";
import { KintsugiError } from "../errors.ts";
import { locationIn } from "../onnx/external.ts";
import type { Graph, TensorBytes } from "../onnx/graph.ts";
import { readModel } from "../onnx/read.ts";
import { writeModel } from "../onnx/write.ts";

const missing = (where: string, expected: string, cause: unknown) =>
	new KintsugiError(
		"model",
		{ where, expected, found: cause instanceof Error ? cause.message : `${cause}`, fix: "check the path and whether the file may be read" },
		{ cause },
	);

/** The result of calls to the file system; their errors are errors of this project. */
function system<T>(where: string, expected: string, calls: () => T): T {
	try {
		return calls();
	} catch (error) {
		throw missing(where, expected, error);
	}
}

/** Sizes of regular files only: opening a pipe would wait for its writer. */
function sizeOfFile(file: string): number {
	const stat = statSync(file);
	if (!stat.isFile()) throw new Error("no regular file");
	return stat.size;
}

function withFile<T>(file: string, what: string, read: (handle: number) => T): T {
	const handle = system(file, what, () => {
		sizeOfFile(file);
		return openSync(file, "r");
	});
	try {
		return read(handle);
	} finally {
		closeSync(handle);
	}
}

/** Reads a model; weights of 4 KiB and more stay in the file. Throws `model` if there is no such file, `onnx` if it is not a model. */
export function readModelFile(path: string): Graph {
	const file = resolve(path);
	return withFile(file, "an ONNX model", (handle) => {
		const source = { size: fstatSync(handle).size, read: (offset: number, length: number) => readRange(handle, file, offset, length) };
		return readModel(source, { file, sizeOf: (external) => externalSize(file, external) });
	});
}

/**
 * Size of an external data file. Links may lead out of the folder (the Hub's cache is made of them),
 * but only if the model itself is such a link: a plain model beside a link to /etc/shadow is refused.
 */
function externalSize(model: string, file: string): number {
	const what = `the weights of ${model}`;
	const real = system(file, what, () => realpathSync(file));
	const modelReal = realpathSync(model);
	const linked = modelReal !== model && dirname(modelReal) !== realpathSync(dirname(model));
	const allowed = linked ? dirname(modelReal) : realpathSync(dirname(model));
	if (!real.startsWith(allowed + sep) && !real.startsWith(realpathSync(dirname(model)) + sep)) {
		throw new KintsugiError("onnx", {
			where: model,
			expected: "external data inside the model's folder",
			found: `a link to ${real}`,
			fix: "do not open this file unless you trust its source",
		});
	}
	return system(file, what, () => sizeOfFile(real));
}

function readRange(handle: number, file: string, offset: number, length: number): Uint8Array {
	const out = new Uint8Array(length);
	let done = 0;
	while (done < length) {
		const n = system(file, `${length} bytes`, () => readSync(handle, out, done, length - done, offset + done));
		if (n === 0) throw missing(file, `${offset + length} bytes`, `the end of the file at byte ${offset + done}`);
		done += n;
	}
	return out;
}

/** The bytes of a constant, from memory or from its file. */
export function readBytes(bytes: TensorBytes): Uint8Array {
	if ("data" in bytes) return bytes.data;
	return withFile(bytes.file, "weights", (handle) => readRange(handle, bytes.file, bytes.offset, bytes.length));
}

/**
 * Location of a weight file as a model in `folder` writes it down, links followed: other readers refuse links that lead elsewhere.
 * Throws `onnx` unless the file lies in the folder or below.
 */
export function weightLocation(folder: string, file: string): string {
	const portable = (path: string) => realpathSync(path).replaceAll(sep, "/");
	return locationIn(portable(folder), portable(file));
}

/** Writes a model. Weights in files stay there (they must lie in the folder of `path` or below), or are copied in with `inline`. */
export function writeModelFile(graph: Graph, path: string, { inline = false }: { inline?: boolean } = {}): void {
	const folder = dirname(resolve(path));
	const bytes = writeModel(graph, {
		place: (range) => {
			if ("data" in range || inline) return readBytes(range);
			return { location: weightLocation(folder, range.file), offset: range.offset, length: range.length };
		},
	});
	writeFileSync(path, bytes);
}
