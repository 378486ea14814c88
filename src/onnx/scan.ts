/** @file Reads a model's protobuf without its weights: large raw_data is skipped and its place in the file noted. */
import { KintsugiError } from "../errors.ts";

/** Random access to the bytes of a file. */
export interface ByteSource {
	readonly size: number;
	/** Bytes [offset, offset + length); the caller stays within `size`. */
	read(offset: number, length: number): Uint8Array;
}

/**
 * Which fields of which message lead to tensors (onnx.proto): graph of a model, nodes, initializers and sparse-free attributes of a graph.
 * All other fields are copied as they are.
 */
const DESCEND: Record<string, Record<number, string>> = {
	model: { 7: "graph" },
	graph: { 1: "node", 5: "tensor" },
	node: { 5: "attribute" },
	attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph" },
	tensor: {},
};

const RAW_DATA = 9;
/** A raw_data of at least this many bytes stays in the file. */
const KEEP_IN_FILE = 4096;
/** No real model nests its subgraphs deeper; a crafted file must not exhaust the stack. */
const MAX_DEPTH = 64;
const WINDOW = 1 << 16;

const damaged = (where: string, found: string) =>
	new KintsugiError("onnx", {
		where,
		expected: "an ONNX model (protobuf)",
		found,
		fix: "check that the download is complete and that the file is an .onnx model",
	});

/** Bytes of a message, with the skipped tensors' places as external data whose location is "" (this very file). */
export function scanModel(source: ByteSource, where: string): Uint8Array {
	let windowStart = 0;
	let window = source.read(0, Math.min(WINDOW, source.size));
	const byteAt = (offset: number): number => {
		if (offset >= source.size) throw damaged(where, `the end of the file at byte ${offset}`);
		if (offset < windowStart || offset >= windowStart + window.length) {
			windowStart = offset;
			window = source.read(offset, Math.min(WINDOW, source.size - offset));
		}
		return window[offset - windowStart];
	};
	const varint = (offset: number): { value: number; next: number } => {
		let value = 0;
		for (let i = 0; i < 10; i++) {
			const byte = byteAt(offset + i);
			value += (byte & 0x7f) * 2 ** (7 * i);
			if (byte < 0x80) return { value, next: offset + i + 1 };
		}
		throw damaged(where, `an endless number at byte ${offset}`);
	};

	const message = (kind: string, start: number, end: number, depth: number): Uint8Array[] => {
		if (depth > MAX_DEPTH) throw damaged(where, `messages nested more than ${MAX_DEPTH} deep`);
		const out: Uint8Array[] = [];
		let copyFrom = start;
		let at = start;
		const flush = (to: number) => {
			if (to > copyFrom) out.push(source.read(copyFrom, to - copyFrom));
		};
		while (at < end) {
			const tag = varint(at);
			const field = Math.floor(tag.value / 8);
			let next = tag.next;
			switch (tag.value % 8) {
				case 0:
					next = varint(next).next;
					break;
				case 1:
					next += 8;
					break;
				case 5:
					next += 4;
					break;
				case 2: {
					const length = varint(next);
					next = length.next + length.value;
					if (next > end) break;
					const child = DESCEND[kind][field];
					if (child) {
						flush(at);
						const inner = message(child, length.next, next, depth + 1);
						const size = inner.reduce((n, part) => n + part.length, 0);
						out.push(encodeVarint(tag.value), encodeVarint(size), ...inner);
						copyFrom = next;
					} else if (kind === "tensor" && field === RAW_DATA && length.value >= KEEP_IN_FILE) {
						flush(at);
						out.push(inThisFile(length.next, length.value));
						copyFrom = next;
					}
					break;
				}
				default:
					throw damaged(where, `no protobuf field at byte ${at}`);
			}
			if (next > end) throw damaged(where, `a field at byte ${at} that ends ${next - end} bytes after its parent`);
			at = next;
		}
		flush(end);
		return out;
	};
	return concat(message("model", 0, source.size, 0));
}

function encodeVarint(value: number): Uint8Array {
	const bytes: number[] = [];
	let rest = value;
	while (rest >= 0x80) {
		bytes.push((rest % 128) | 0x80);
		rest = Math.floor(rest / 128);
	}
	bytes.push(rest);
	return Uint8Array.from(bytes);
}

const field = (number: number, bytes: Uint8Array) => concat([encodeVarint(number * 8 + 2), encodeVarint(bytes.length), bytes]);

/** TensorProto.external_data (13) entries and data_location (14) = EXTERNAL (1). */
function inThisFile(offset: number, length: number): Uint8Array {
	const text = new TextEncoder();
	const entry = (key: string, value: string) => field(13, concat([field(1, text.encode(key)), field(2, text.encode(value))]));
	return concat([entry("location", ""), entry("offset", `${offset}`), entry("length", `${length}`), Uint8Array.of(14 * 8, 1)]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
	const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}
