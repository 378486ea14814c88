/** @file Damages bytes: without knowing what they mean, and at the lengths and tags of their protobuf. */
import type { Random } from "../../src/tensor/random.ts";

export type ByteMutation = (bytes: Uint8Array, r: Random, other: Uint8Array) => Uint8Array;

const joined = (...parts: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));

const randomBytes = (r: Random, n: number) => Uint8Array.from({ length: n }, () => r.int(256));

/** Bytes at which decoders change their mind. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xff];

const VARINTS = [
	[0x00],
	[0x7f],
	[0xff, 0xff, 0x03],
	[0xff, 0xff, 0xff, 0xff, 0x07],
	[0xff, 0xff, 0xff, 0xff, 0x0f],
	[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40],
	[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
	[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
].map((list) => Uint8Array.from(list));

function varint(bytes: Uint8Array, at: number): { value: number; next: number } | undefined {
	let value = 0;
	for (let i = 0; i < 10 && at + i < bytes.length; i++) {
		value += (bytes[at + i] & 0x7f) * 2 ** (7 * i);
		if (bytes[at + i] < 0x80) return { value, next: at + i + 1 };
	}
	return undefined;
}

interface Field {
	tag: number;
	/** Where the value, or its length, starts. */
	value: number;
	end: number;
	hasLength: boolean;
}

/** The fields of the message at [start, end); undefined if it is none. */
function fieldsOf(bytes: Uint8Array, start: number, end: number): Field[] | undefined {
	const fields: Field[] = [];
	for (let at = start; at < end; ) {
		const tag = varint(bytes, at);
		if (!tag || tag.value < 8) return undefined;
		const wire = tag.value % 8;
		let next: number | undefined;
		if (wire === 0) next = varint(bytes, tag.next)?.next;
		else if (wire === 1) next = tag.next + 8;
		else if (wire === 5) next = tag.next + 4;
		else if (wire === 2) {
			const length = varint(bytes, tag.next);
			if (length) next = length.next + length.value;
		}
		if (next === undefined || next > end) return undefined;
		fields.push({ tag: at, value: tag.next, end: next, hasLength: wire === 2 });
		at = next;
	}
	return fields;
}

/** A field found by walking down from the top, at every level into whatever looks like a message. */
function pickField(bytes: Uint8Array, r: Random): Field | undefined {
	let found: Field | undefined;
	for (let [start, end] = [0, bytes.length]; ; ) {
		const fields = fieldsOf(bytes, start, end);
		if (!fields || fields.length === 0) return found;
		found = r.pick(fields);
		if (!found.hasLength || r.uniform() < 0.15) return found;
		start = varint(bytes, found.value)?.next ?? found.end;
		end = found.end;
	}
}

const atField =
	(change: (bytes: Uint8Array, field: Field, r: Random) => Uint8Array): ByteMutation =>
	(bytes, r) => {
		const field = pickField(bytes, r);
		return field ? change(bytes, field, r) : bytes;
	};

const replaced = (bytes: Uint8Array, from: number, to: number, by: Uint8Array) => joined(bytes.subarray(0, from), by, bytes.subarray(to));

/** Mutations that do not look at the bytes. */
export const BLIND: Record<string, ByteMutation> = {
	"bit flips": (bytes, r) => {
		const out = Uint8Array.from(bytes);
		// Half of the flips hit the first kilobytes, where structure is dense.
		const reach = r.uniform() < 0.5 ? Math.min(out.length, 4096) : out.length;
		for (let i = 1 + r.int(16); i > 0 && reach > 0; i--) out[r.int(reach)] ^= 1 << r.int(8);
		return out;
	},
	"edge bytes": (bytes, r) => {
		const out = Uint8Array.from(bytes);
		for (let i = 1 + r.int(8); i > 0 && out.length > 0; i--) out[r.int(out.length)] = r.pick(EDGES);
		return out;
	},
	"bytes inserted": (bytes, r) => {
		const at = r.int(bytes.length + 1);
		return replaced(bytes, at, at, randomBytes(r, 1 + r.int(16)));
	},
	"bytes deleted": (bytes, r) => {
		const at = r.int(bytes.length + 1);
		return replaced(bytes, at, Math.min(bytes.length, at + 1 + r.int(r.uniform() < 0.5 ? 8 : 1024)), new Uint8Array());
	},
	"bytes repeated": (bytes, r) => {
		const at = r.int(bytes.length + 1);
		return replaced(bytes, at, at, bytes.subarray(at, at + 1 + r.int(512)));
	},
	truncated: (bytes, r) => bytes.subarray(0, r.int(bytes.length)),
	"two models spliced": (bytes, r, other) => joined(bytes.subarray(0, r.int(bytes.length + 1)), other.subarray(r.int(other.length + 1))),
	"two models appended": (bytes, _, other) => joined(bytes, other),
	"no protobuf": (_, r) =>
		r.uniform() < 0.5 ? randomBytes(r, r.int(2048)) : new TextEncoder().encode("<!DOCTYPE html><html>".repeat(1 + r.int(40))),
};

/** Mutations of tags, lengths and whole fields. */
export const WIRE: Record<string, ByteMutation> = {
	"a length or number replaced": atField((bytes, field, r) => {
		const old = varint(bytes, field.value)?.next ?? field.end;
		return replaced(bytes, field.value, old, r.pick(VARINTS));
	}),
	"a length off by a little": atField((bytes, field, r) => {
		const out = Uint8Array.from(bytes);
		out[field.value] = (out[field.value] & 0x80) | ((out[field.value] + r.pick([-2, -1, 1, 2, 16])) & 0x7f);
		return out;
	}),
	"a tag changed": atField((bytes, field, r) => {
		const out = Uint8Array.from(bytes);
		out[field.tag] = r.uniform() < 0.5 ? out[field.tag] ^ (1 << r.int(3)) : (r.int(32) << 3) | (out[field.tag] & 7);
		return out;
	}),
	"a field removed": atField((bytes, field) => replaced(bytes, field.tag, field.end, new Uint8Array())),
	"a field repeated": atField((bytes, field, r) => {
		const field_ = bytes.subarray(field.tag, field.end);
		const times = field_.length < 64 ? 1 + r.int(50) : 1;
		return replaced(bytes, field.end, field.end, joined(...Array.from({ length: times }, () => field_)));
	}),
	"groups, deeply nested": atField((bytes, field, r) => {
		const depth = r.pick([3, 50, 200, 5000]);
		return replaced(bytes, field.tag, field.tag, new Uint8Array(depth).fill(r.pick([0x0b, 0x3b, 0xfb])));
	}),
};
