/**
 * @file Walks a model's protobuf before anything is built from it: large raw_data is left where it is and its place noted,
 * what the reader does not need is dropped, and what the rest will cost in memory is bounded.
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { ModelProtoSchema, StringStringEntryProtoSchema, TensorProtoSchema } from "onnx-buf";
import { KintsugiError } from "../errors.ts";
import { type ByteSource, WIRE, type WireWriter, wireReader, wireWriter } from "./wire.ts";

/** Fields that say nothing about what a model computes; exports of PyTorch carry much of it. */
const DROPPED = new Set(["doc_string", "metadata_props", "value_info", "quantization_annotation", "training_info", "configuration"]);

/** A raw_data of at least this many bytes stays where it is. */
const KEEP_IN_PLACE = 4096;
/** No real model nests its subgraphs deeper; a crafted file must not exhaust the stack. */
const MAX_DEPTH = 64;
/**
 * Bytes that a part of a model becomes in memory, whatever its size in the file. Measured on Node 20: an empty node of two bytes
 * becomes an object of 550, an empty string or byte array one of 100, a byte that is a number a BigInt of 32.
 */
const COST = { message: 512, text: 96, number: 32 };
/** Most memory, so estimated, that a model without its weights may take: 250,000 ordinary nodes. */
const MAX_COST = 2 ** 30;

const RAW_DATA = TensorProtoSchema.field.rawData.number;

/** Key of the entry of external_data that says where in the model's own bytes a skipped raw_data lies: "offset length". */
export const IN_PLACE = "kintsugi:in-place";

interface FieldKind {
	/** Descend into it. */
	message: DescMessage | undefined;
	/** Wire type of one value. */
	wire: number;
	/** Numbers that may share one field. */
	packable: boolean;
	dropped: boolean;
}

function kindOf(field: DescField): FieldKind {
	const wire = (): number => {
		if (field.message || field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return WIRE.bytes;
		if (field.scalar === ScalarType.FLOAT) return WIRE.fixed32;
		return field.scalar === ScalarType.DOUBLE ? WIRE.fixed64 : WIRE.varint;
	};
	return { message: field.message, wire: wire(), packable: field.fieldKind === "list", dropped: DROPPED.has(field.name) };
}

/** Estimated memory of a field that is no message, with a value of `length` bytes in the file. */
function costOf(kind: FieldKind, wire: number, length: number): number {
	if (kind.wire === WIRE.bytes) return COST.text + length;
	if (wire !== WIRE.bytes) return COST.number;
	const smallest = kind.wire === WIRE.fixed64 ? 8 : kind.wire === WIRE.fixed32 ? 4 : 1;
	return COST.number * Math.ceil(length / smallest);
}

/**
 * The model's bytes without large raw_data, whose places become entries of external_data with the key IN_PLACE.
 * Throws `onnx` for bytes that are no protobuf, and for more than MAX_DEPTH or MAX_COST.
 */
export function scanModel(source: ByteSource, where: string): Uint8Array {
	const damaged = (found: string) =>
		new KintsugiError("onnx", {
			where,
			expected: "an ONNX model (protobuf)",
			found,
			fix: "check that the download is complete and that the file is an .onnx model",
		});
	const input = wireReader(source, damaged);
	const out = wireWriter();
	const schemas = new Map<DescMessage, Map<number, FieldKind>>();
	const schemaOf = (type: DescMessage) => {
		const schema = schemas.get(type) ?? new Map(type.fields.map((field) => [field.number, kindOf(field)]));
		schemas.set(type, schema);
		return schema;
	};
	let cost = 0;
	const spend = (bytes: number) => {
		cost += bytes;
		if (cost > MAX_COST) {
			throw new KintsugiError("onnx", {
				where,
				expected: `a model that takes at most ${MAX_COST / 2 ** 20} MiB without its weights`,
				found: "more",
				fix: "store its weights as raw_data or external data",
			});
		}
	};
	const extent = (at: number, wire: number, start: number): { value: number; next: number } => {
		if (wire === WIRE.varint) return { value: start, next: input.varint(start).next };
		if (wire === WIRE.fixed64) return { value: start, next: start + 8 };
		if (wire === WIRE.fixed32) return { value: start, next: start + 4 };
		if (wire !== WIRE.bytes) throw damaged(`no protobuf field at byte ${at}`);
		const length = input.varint(start);
		return { value: length.next, next: length.next + length.value };
	};
	const message = (type: DescMessage, start: number, end: number, depth: number): void => {
		if (depth > MAX_DEPTH) throw damaged(`messages nested more than ${MAX_DEPTH} deep`);
		spend(COST.message);
		const schema = schemaOf(type);
		let next: number;
		for (let at = start; at < end; at = next) {
			const tag = input.varint(at);
			const [field, wire] = [Math.floor(tag.value / 8), tag.value % 8];
			if (field === 0 || tag.value >= 2 ** 32) throw damaged(`no protobuf field at byte ${at}`);
			const place = extent(at, wire, tag.next);
			const { value } = place;
			next = place.next;
			if (next > end) throw damaged(`a field at byte ${at} that ends ${next - end} bytes after its parent`);
			const kind = schema.get(field);
			if (!kind || kind.dropped) continue;
			// The decoder would believe the schema, not the file.
			if (wire !== kind.wire && !(kind.packable && wire === WIRE.bytes)) throw damaged(`a field of a wrong type at byte ${at}`);
			const child = kind.message;
			if (child) out.nested(field, () => message(child, value, place.next, depth + 1));
			else if (type === TensorProtoSchema && field === RAW_DATA && next - value >= KEEP_IN_PLACE) {
				spend(COST.message);
				inPlace(out, `${value} ${next - value}`);
			} else {
				spend(costOf(kind, wire, next - value));
				out.bytes(input.read(at, next - at));
			}
		}
	};
	message(ModelProtoSchema, 0, source.size, 0);
	return out.done();
}

function inPlace(out: WireWriter, place: string): void {
	const text = new TextEncoder();
	const { key, value } = StringStringEntryProtoSchema.field;
	out.nested(TensorProtoSchema.field.externalData.number, () => {
		out.nested(key.number, () => out.bytes(text.encode(IN_PLACE)));
		out.nested(value.number, () => out.bytes(text.encode(place)));
	});
}
