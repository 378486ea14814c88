/** @file Reads the header of a .safetensors file: names, types, dims and byte ranges; never the weights. */
import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { KintsugiError } from "../../errors.ts";
import type { ConstantTensor, ElementType } from "../../onnx/graph.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** Type names of the format, with their ONNX names and widths in bytes. */
const TYPES: Readonly<Record<string, readonly [ElementType, number]>> = {
	F64: ["double", 8],
	F32: ["float", 4],
	F16: ["float16", 2],
	BF16: ["bfloat16", 2],
	I64: ["int64", 8],
	I32: ["int32", 4],
	I16: ["int16", 2],
	I8: ["int8", 1],
	U64: ["uint64", 8],
	U32: ["uint32", 4],
	U16: ["uint16", 2],
	U8: ["uint8", 1],
	BOOL: ["bool", 1],
};

/** The format's own limit on the header, so that a crafted file cannot ask for gigabytes of JSON. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_RANK = 16;

interface Entry {
	dtype: unknown;
	shape: unknown;
	data_offsets: unknown;
}

const isSize = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

/**
 * The tensors of a .safetensors file as byte ranges of that file.
 * Throws `model` if the header is malformed, or if a range overlaps another, lies outside the file or does not fit its dims.
 */
export async function readSafetensors(path: string): Promise<Map<string, ConstantTensor>> {
	const file = resolve(path);
	const fail = failure(file);
	const { header, start, size } = await readHeader(file, fail);
	const ranges: { name: string; from: number; to: number }[] = [];
	const tensors = new Map<string, ConstantTensor>();
	for (const [name, value] of Object.entries(header)) {
		if (name === "__metadata__") continue;
		const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Entry;
		const type = typeof dtype === "string" && Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : undefined;
		if (!type) return fail(`a type among ${Object.keys(TYPES).join(", ")} for tensor ${name}`, JSON.stringify(dtype) ?? "none");
		if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isSize)) {
			return fail(`at most ${MAX_RANK} non-negative dims for tensor ${name}`, JSON.stringify(shape) ?? "none");
		}
		if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
			return fail(`two offsets for tensor ${name}`, JSON.stringify(offsets) ?? "none");
		}
		const [from, to] = offsets as [number, number];
		const length = sizeOf(shape) * type[1];
		if (to - from !== length) fail(`${length} bytes for tensor ${name} of dims [${shape.join(", ")}]`, `${to - from}`);
		if (start + to > size) fail(`tensor ${name} to end inside the file of ${size} bytes`, `an end at ${start + to}`);
		if (length > 0) ranges.push({ name, from, to });
		tensors.set(name, { type: type[0], dims: shape, bytes: { file, offset: start + from, length } });
	}
	ranges.sort((a, b) => a.from - b.from);
	for (let i = 1; i < ranges.length; i++) {
		if (ranges[i].from < ranges[i - 1].to) fail("separate byte ranges", `${ranges[i - 1].name} and ${ranges[i].name} overlap`);
	}
	return tensors;
}

/** What a .safetensors file says of itself: texts by name. */
export async function readMetadata(path: string): Promise<Record<string, string>> {
	const file = resolve(path);
	const { header } = await readHeader(file, failure(file));
	const entries = Object.entries(header.__metadata__ ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === "string");
	return Object.fromEntries(entries);
}

const failure =
	(where: string) =>
	(expected: string, found: string): never => {
		throw new KintsugiError("model", { where, expected, found, fix: "download or save the file again" });
	};

async function readHeader(file: string, fail: (expected: string, found: string) => never) {
	const handle = await open(file).catch(() => fail("a readable .safetensors file", "none"));
	try {
		const { size } = await handle.stat();
		const prefix = Buffer.alloc(8);
		if (size < 8 || (await handle.read(prefix, 0, 8, 0)).bytesRead < 8) fail("at least 8 bytes", `${size}`);
		const length = prefix.readBigUInt64LE();
		if (length > MAX_HEADER_BYTES || 8 + Number(length) > size) {
			fail(`a header of at most ${Math.min(MAX_HEADER_BYTES, size - 8)} bytes`, `${length}`);
		}
		const text = Buffer.alloc(Number(length));
		await handle.read(text, 0, text.length, 8);
		let header: unknown;
		try {
			header = JSON.parse(text.toString("utf8"));
		} catch {
			fail("a JSON header", "text that does not parse");
		}
		if (typeof header !== "object" || header === null || Array.isArray(header)) fail("a JSON object as header", "something else");
		return { header: header as Record<string, unknown>, start: 8 + text.length, size };
	} finally {
		await handle.close();
	}
}
