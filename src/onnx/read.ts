/** @file ONNX bytes -> Graph. */
import { fromBinary } from "@bufbuild/protobuf";
import { type AttributeProto, type GraphProto, type ModelProto, ModelProtoSchema, type NodeProto, type ValueInfoProto } from "onnx-buf";
import { KintsugiError } from "../errors.ts";
import { elementType } from "./elements.ts";
import {
	type Attribute,
	type ConstantTensor,
	type Dims,
	type ElementType,
	type Graph,
	type Node,
	type TensorBytes,
	UNKNOWN_DIM,
	UNKNOWN_RANK,
	type ValueInfo,
} from "./graph.ts";
import { readTensor, scalarTensor } from "./read-tensor.ts";
import { scanModel } from "./scan.ts";
import { malformed, type Names, sortNodes } from "./topology.ts";
import { type ByteSource, bytesSource } from "./wire.ts";

/** The oldest opset whose forms are known to the upgrade pass. */
export const MIN_OPSET = 11;

export interface ReadOptions {
	/** Absolute path of the model: external data is looked for in its folder, and messages name it. */
	file?: string;
	/** Size of an external file in bytes; throws if it cannot be read. Without it external ranges are not checked. */
	sizeOf?: (file: string) => number;
}

/** What reading tensors needs to know about the file they are in. */
export interface ReadContext extends ReadOptions {
	where: string;
	/** Bytes of the model file itself. */
	size: number;
	/** A range of the model file itself. */
	inPlace: (offset: number, length: number) => TensorBytes;
}

/**
 * Reads a model. Weights of 4 KiB and more are not copied: given bytes, they are views into them; given a ByteSource, they stay in `file`.
 * Constant nodes become initializers. Throws `onnx` for anything that is not a valid model.
 */
export function readModel(model: Uint8Array, options?: ReadOptions): Graph;
export function readModel(model: ByteSource, options: ReadOptions & { file: string }): Graph;
export function readModel(model: Uint8Array | ByteSource, options: ReadOptions = {}): Graph {
	const { file = "" } = options;
	const where = file || "ONNX model";
	// A Buffer of Node would hand its own type on to every tensor.
	const bytes = model instanceof Uint8Array ? new Uint8Array(model.buffer, model.byteOffset, model.byteLength) : undefined;
	const source = bytes ? bytesSource(bytes) : (model as ByteSource);
	if (source.size === 0) throw invalid(where, "an ONNX model", "an empty file");
	const structure = scanModel(source, where);
	let proto: ModelProto;
	try {
		proto = fromBinary(ModelProtoSchema, structure);
	} catch (error) {
		throw invalid(where, "an ONNX model (protobuf)", `bytes that do not decode (${error instanceof Error ? error.message : error})`, error);
	}
	const inPlace = (offset: number, length: number): TensorBytes =>
		bytes ? { data: bytes.subarray(offset, offset + length) } : { file, offset, length };
	return modelGraph(proto, { ...options, where, size: source.size, inPlace });
}

function modelGraph(proto: ModelProto, context: ReadContext): Graph {
	const { where } = context;
	if (!proto.graph || proto.opsetImport.length === 0)
		throw invalid(where, "a model with a graph and an opset", "neither or only one of them");
	const domains: Record<string, number> = Object.fromEntries(
		proto.opsetImport.map(({ domain, version }) => [isStandard(domain) ? "" : domain, versionOf(domain, version, where)]),
	);
	const { "": opset = 0, ...others } = domains;
	if (opset < MIN_OPSET) {
		throw new KintsugiError("onnx", {
			where,
			expected: `opset ${MIN_OPSET} or newer`,
			found: `opset ${opset}`,
			fix: "export the model again with opset_version=17, or convert it with onnx.version_converter",
		});
	}
	if (proto.functions.length > 0) {
		throw new KintsugiError("onnx", {
			where,
			expected: "a model without local functions",
			found: `${proto.functions.length} of them, e.g. ${proto.functions[0].name}`,
			fix: "inline them with onnx.inliner.inline_local_functions",
		});
	}
	return readGraph(proto.graph, { opset, domains: others, outer: new Set() }, context);
}

const isStandard = (domain: string) => domain === "" || domain === "ai.onnx";

const invalid = (where: string, expected: string, found: string, cause?: unknown) =>
	new KintsugiError(
		"onnx",
		{ where, expected, found, fix: "check that the download is complete and that the file is an .onnx model" },
		{ cause },
	);

/** The standard counts its versions up by one; ONNX Runtime holds them in 32 bits. */
function versionOf(domain: string, version: bigint, where: string): number {
	if (version >= 0n && version < 2n ** 31n) return Number(version);
	throw malformed(where, "versions of operator sets that are small whole numbers", `${version} of '${domain}'`);
}

interface Scope {
	opset: number;
	domains: Record<string, number>;
	outer: Names;
}

function readGraph(proto: GraphProto, scope: Scope, context: ReadContext): Graph {
	const initializers = new Map<string, ConstantTensor>();
	for (const t of proto.initializer) {
		if (t.name === "" || initializers.has(t.name)) throw malformed(context.where, "initializers with names of their own", `'${t.name}'`);
		initializers.set(t.name, readTensor(t, context));
	}
	if (proto.sparseInitializer.length > 0) throw invalid(context.where, "dense initializers", "a sparse one");
	// Before IR version 4 initializers were listed among the inputs.
	const inputs = proto.input.filter((v) => !initializers.has(v.name)).map((v) => valueInfo(v, context));
	const own = new Set([...inputs.map((v) => v.name), ...initializers.keys(), ...proto.node.flatMap((n) => n.output)]);
	const outer: Names = { has: (name) => own.has(name) || scope.outer.has(name) };
	const nodes: Node[] = [];
	for (const n of proto.node) {
		const node = readNode(n, { ...scope, outer }, context);
		const lifted = constantValue(node);
		if (lifted && !initializers.has(node.outputs[0])) initializers.set(node.outputs[0], lifted);
		else nodes.push(node);
	}
	const graph: Graph = {
		name: proto.name || "graph",
		opset: scope.opset,
		domains: scope.domains,
		inputs,
		outputs: proto.output.map((v) => valueInfo(v, context)),
		initializers,
		nodes,
	};
	return { ...graph, nodes: sortNodes(graph, context.where, scope.outer) };
}

function readNode(n: NodeProto, scope: Scope, context: ReadContext): Node {
	const attributes = new Map(n.attribute.map((a) => [a.name, readAttribute(a, n, scope, context)]));
	if (attributes.size < n.attribute.length) {
		const names = n.attribute.map((a) => a.name).join(", ");
		throw malformed(context.where, "attributes with names of their own", `${names} of ${n.opType} node '${n.name}'`);
	}
	return {
		op: n.opType,
		domain: isStandard(n.domain) ? "" : n.domain,
		name: n.name,
		inputs: n.input,
		outputs: n.output,
		attributes: Object.fromEntries(attributes),
	};
}

const utf8 = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function readAttribute(a: AttributeProto, node: NodeProto, scope: Scope, context: ReadContext): Attribute {
	// AttributeProto.AttributeType of the standard.
	switch (a.type) {
		case 1:
			return { float: a.f };
		case 2:
			return { int: a.i };
		case 3:
			return { string: utf8(a.s) };
		case 4:
			if (a.t) return { tensor: readTensor(a.t, context) };
			break;
		case 5:
			if (a.g) return { graph: readGraph(a.g, scope, context) };
			break;
		case 6:
			return { floats: a.floats };
		case 7:
			return { ints: a.ints };
		case 8:
			return { strings: a.strings.map(utf8) };
	}
	throw malformed(context.where, "attributes of a known type", `'${a.name}' of ${node.opType} node '${node.name}' with type ${a.type}`);
}

/** What a Constant node holds, unless it is text or sparse. */
function constantValue({ op, domain, outputs, attributes: a }: Node): ConstantTensor | undefined {
	if (op !== "Constant" || domain !== "" || outputs.length !== 1 || outputs[0] === "") return undefined;
	const { value, value_int, value_float, value_ints, value_floats } = a;
	if (value && "tensor" in value) return value.tensor;
	if (value_int && "int" in value_int) return scalarTensor("int64", BigInt64Array.of(value_int.int), []);
	if (value_float && "float" in value_float) return scalarTensor("float", Float32Array.of(value_float.float), []);
	if (value_ints && "ints" in value_ints) return scalarTensor("int64", BigInt64Array.from(value_ints.ints), [value_ints.ints.length]);
	if (value_floats && "floats" in value_floats) {
		return scalarTensor("float", Float32Array.from(value_floats.floats), [value_floats.floats.length]);
	}
	return undefined;
}

function valueInfo(v: ValueInfoProto, context: ReadContext): ValueInfo {
	return { name: v.name, type: valueType(v, context), dims: valueDims(v, context) };
}

function valueType(v: ValueInfoProto, context: ReadContext): ElementType {
	const tensorType = v.type?.value.case === "tensorType" ? v.type.value.value : undefined;
	const type = tensorType && elementType(tensorType.elemType);
	if (!type) throw malformed(context.where, "tensors of a known element type", `the value '${v.name}' of another type`);
	return type;
}

function valueDims(v: ValueInfoProto, context: ReadContext): Dims {
	const shape = v.type?.value.case === "tensorType" ? v.type.value.value.shape : undefined;
	if (!shape) return UNKNOWN_RANK;
	return shape.dim.map(({ value: d }) => {
		// Some exporters write -1 for a dim that they do not know.
		if (d.case !== "dimValue" || d.value === -1n) return d.case === "dimParam" && !RESERVED.has(d.value) ? d.value : UNKNOWN_DIM;
		const size = Number(d.value);
		if (size < 0 || !Number.isSafeInteger(size)) throw malformed(context.where, "dims from 0 to 2^53", `${d.value} of '${v.name}'`);
		return size;
	});
}

/** Not to be taken for symbols. */
const RESERVED = new Set<unknown>(["", UNKNOWN_DIM, ...UNKNOWN_RANK]);
