/** @file Graph -> ONNX bytes. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
	type AttributeProto,
	AttributeProtoSchema,
	type GraphProto,
	GraphProtoSchema,
	ModelProtoSchema,
	NodeProtoSchema,
	OperatorSetIdProtoSchema,
	StringStringEntryProtoSchema,
	type TensorProto,
	TensorProtoSchema,
	TensorShapeProto_DimensionSchema,
	TensorShapeProtoSchema,
	TypeProto_TensorSchema,
	TypeProtoSchema,
	type ValueInfoProto,
	ValueInfoProtoSchema,
} from "onnx-buf";
import { KintsugiError } from "../errors.ts";
import { elementCode } from "./elements.ts";
import { type Attribute, type ConstantTensor, type Graph, type TensorBytes, UNKNOWN_DIM, UNKNOWN_RANK, type ValueInfo } from "./graph.ts";

/** Where the weights of a written model go. */
export interface WriteOptions {
	/**
	 * How the written model refers to bytes: an external location, or the bytes themselves to be inlined.
	 * By default bytes in memory are inlined and bytes in files are refused.
	 */
	place?: (bytes: TensorBytes, name: string) => ExternalPlace | Uint8Array;
	/** Name the outputs without type and dims: ONNX Runtime then reports what it infers. */
	untypedOutputs?: boolean;
}

export interface ExternalPlace {
	/** Path relative to the model's folder, with "/". */
	location: string;
	offset: number;
	length: number;
}

type Place = NonNullable<WriteOptions["place"]>;

const inline: Place = (bytes, name) => {
	if ("data" in bytes) return bytes.data;
	throw new KintsugiError("onnx", {
		where: `writing the tensor '${name}'`,
		expected: "bytes in memory",
		found: `a range of ${bytes.file}`,
		fix: "pass `place` to say where the written model finds it",
	});
};

/** IR version that goes with an opset (Versioning.md of ONNX); ONNX Runtime refuses versions newer than it knows. */
const irVersion = (opset: number): bigint => (opset >= 23 ? 11n : opset >= 21 ? 10n : opset >= 19 ? 9n : 8n);

/** The model as protobuf bytes, at most 2 GiB. */
export function writeModel(graph: Graph, { place = inline, untypedOutputs = false }: WriteOptions = {}): Uint8Array {
	const opsets = [["", graph.opset] as const, ...Object.entries(graph.domains)];
	return toBinary(
		ModelProtoSchema,
		create(ModelProtoSchema, {
			irVersion: irVersion(graph.opset),
			producerName: "kintsugi",
			opsetImport: opsets.map(([domain, version]) => create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) })),
			graph: graphProto(graph, place, untypedOutputs),
		}),
	);
}

function graphProto(graph: Graph, place: Place, untypedOutputs = false): GraphProto {
	return create(GraphProtoSchema, {
		name: graph.name || "graph",
		input: graph.inputs.map(valueProto),
		output: graph.outputs.map((v) => (untypedOutputs ? create(ValueInfoProtoSchema, { name: v.name }) : valueProto(v))),
		initializer: [...graph.initializers].map(([name, t]) => tensorProto(name, t, place)),
		node: graph.nodes.map((n) =>
			create(NodeProtoSchema, {
				opType: n.op,
				domain: n.domain,
				name: n.name,
				input: [...n.inputs],
				output: [...n.outputs],
				attribute: Object.entries(n.attributes).map(([name, a]) => attributeProto(name, a, place)),
			}),
		),
	});
}

function valueProto({ name, type, dims }: ValueInfo): ValueInfoProto {
	const dim = dims.map((d) => {
		if (d === UNKNOWN_DIM) return create(TensorShapeProto_DimensionSchema, {});
		const value = typeof d === "number" ? ({ case: "dimValue", value: BigInt(d) } as const) : ({ case: "dimParam", value: d } as const);
		return create(TensorShapeProto_DimensionSchema, { value });
	});
	const shape = dims[0] === UNKNOWN_RANK[0] ? {} : { shape: create(TensorShapeProtoSchema, { dim }) };
	const value = create(TypeProto_TensorSchema, { elemType: elementCode(type), ...shape });
	return create(ValueInfoProtoSchema, { name, type: create(TypeProtoSchema, { value: { case: "tensorType", value } }) });
}

function tensorProto(name: string, t: ConstantTensor, place: Place): TensorProto {
	const base = { name, dims: t.dims.map(BigInt), dataType: elementCode(t.type) };
	const placed = place(t.bytes, name);
	if (placed instanceof Uint8Array) return create(TensorProtoSchema, { ...base, rawData: placed as Uint8Array<ArrayBuffer> });
	const entries = { location: placed.location, offset: `${placed.offset}`, length: `${placed.length}` };
	return create(TensorProtoSchema, {
		...base,
		dataLocation: 1,
		externalData: Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
	});
}

function attributeProto(name: string, a: Attribute, place: Place): AttributeProto {
	const utf8 = (text: string) => new TextEncoder().encode(text);
	if ("float" in a) return create(AttributeProtoSchema, { name, type: 1, f: a.float });
	if ("int" in a) return create(AttributeProtoSchema, { name, type: 2, i: a.int });
	if ("string" in a) return create(AttributeProtoSchema, { name, type: 3, s: utf8(a.string) });
	if ("tensor" in a) return create(AttributeProtoSchema, { name, type: 4, t: tensorProto("", a.tensor, place) });
	if ("graph" in a) return create(AttributeProtoSchema, { name, type: 5, g: graphProto(a.graph, place) });
	if ("floats" in a) return create(AttributeProtoSchema, { name, type: 6, floats: [...a.floats] });
	if ("ints" in a) return create(AttributeProtoSchema, { name, type: 7, ints: [...a.ints] });
	return create(AttributeProtoSchema, { name, type: 8, strings: a.strings.map(utf8) });
}
