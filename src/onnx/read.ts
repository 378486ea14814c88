/** @file ONNX bytes -> Graph. */
import { fromBinary } from "@bufbuild/protobuf";
import {
	type AttributeProto,
	type GraphProto,
	type ModelProto,
	ModelProtoSchema,
	type NodeProto,
	type TypeProto,
	type ValueInfoProto,
} from "onnx-buf";
import { KintsugiError } from "../errors.ts";
import { elementType } from "./elements.ts";
import {
	type Attribute,
	type ConstantTensor,
	type Dims,
	type ElementType,
	type Graph,
	type Node,
	UNKNOWN_DIM,
	UNKNOWN_RANK,
	type ValueInfo,
} from "./graph.ts";
import { readTensor, scalarTensor } from "./read-tensor.ts";
import { type ByteSource, scanModel } from "./scan.ts";
import { sortNodes } from "./topology.ts";

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
}

/**
 * Reads a model. Given bytes, its weights are views into them; given a ByteSource and `file`, weights of 4 KiB and more stay in the file.
 * Constant nodes become initializers. Throws `onnx` for anything that is not a valid model.
 */
export function readModel(model: Uint8Array | ByteSource, options: ReadOptions = {}): Graph {
	const where = options.file ?? "ONNX model";
	const inMemory = model instanceof Uint8Array;
	const size = inMemory ? model.length : model.size;
	if (size === 0) throw invalid(where, "an ONNX model", "an empty file");
	let proto: ModelProto;
	try {
		// A Buffer of Node would hand its own type on to every tensor.
		const bytes = inMemory ? new Uint8Array(model.buffer, model.byteOffset, model.byteLength) : scanModel(model, where);
		proto = fromBinary(ModelProtoSchema, bytes);
	} catch (error) {
		if (error instanceof KintsugiError) throw error;
		throw invalid(where, "an ONNX model (protobuf)", `bytes that do not decode (${error instanceof Error ? error.message : error})`, error);
	}
	if (!proto.graph || proto.opsetImport.length === 0)
		throw invalid(where, "a model with a graph and an opset", "neither or only one of them");
	const opset = Number(proto.opsetImport.find((o) => isStandard(o.domain))?.version ?? 0n);
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
	const domains = Object.fromEntries(proto.opsetImport.filter((o) => !isStandard(o.domain)).map((o) => [o.domain, Number(o.version)]));
	return readGraph(proto.graph, { opset, domains, outer: new Set() }, { ...options, where, size });
}

const isStandard = (domain: string) => domain === "" || domain === "ai.onnx";

const invalid = (where: string, expected: string, found: string, cause?: unknown) =>
	new KintsugiError(
		"onnx",
		{ where, expected, found, fix: "check that the download is complete and that the file is an .onnx model" },
		{ cause },
	);

interface Scope {
	opset: number;
	domains: Record<string, number>;
	outer: ReadonlySet<string>;
}

function readGraph(proto: GraphProto, scope: Scope, context: ReadContext): Graph {
	const initializers = new Map<string, ConstantTensor>();
	for (const t of proto.initializer) initializers.set(t.name, readTensor(t, context));
	if (proto.sparseInitializer.length > 0) throw invalid(context.where, "dense initializers", "a sparse one");
	// Before IR version 4 initializers were listed among the inputs.
	const inputs = proto.input.filter((v) => !initializers.has(v.name)).map((v) => valueInfo(v, context));
	const visible = new Set([...scope.outer, ...inputs.map((v) => v.name), ...initializers.keys(), ...proto.node.flatMap((n) => n.output)]);
	const nodes: Node[] = [];
	for (const n of proto.node) {
		const node = readNode(n, { ...scope, outer: visible }, context);
		const lifted = node.op === "Constant" && node.domain === "" ? constantValue(node) : undefined;
		if (lifted && !initializers.has(node.outputs[0])) initializers.set(node.outputs[0], lifted);
		else nodes.push(node);
	}
	const graph: Graph = {
		name: proto.name,
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
	return {
		op: n.opType,
		domain: isStandard(n.domain) ? "" : n.domain,
		name: n.name,
		inputs: n.input,
		outputs: n.output,
		attributes: Object.fromEntries(n.attribute.map((a) => [a.name, readAttribute(a, n, scope, context)])),
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
	throw invalid(context.where, "attributes of a known type", `'${a.name}' of ${node.opType} node '${node.name}' with type ${a.type}`);
}

function constantValue({ attributes: a }: Node): ConstantTensor | undefined {
	for (const value of Object.values(a)) {
		if ("tensor" in value) return value.tensor;
		if ("int" in value) return scalarTensor("int64", BigInt64Array.of(value.int), []);
		if ("float" in value) return scalarTensor("float", Float32Array.of(value.float), []);
		if ("ints" in value) return scalarTensor("int64", BigInt64Array.from(value.ints), [value.ints.length]);
		if ("floats" in value) return scalarTensor("float", Float32Array.from(value.floats), [value.floats.length]);
	}
	return undefined;
}

function valueInfo(v: ValueInfoProto, context: ReadContext): ValueInfo {
	return { name: v.name, type: valueType(v, context), dims: valueDims(v.type) };
}

function valueType(v: ValueInfoProto, context: ReadContext): ElementType {
	const tensorType = v.type?.value.case === "tensorType" ? v.type.value.value : undefined;
	const type = tensorType && elementType(tensorType.elemType);
	if (!type) throw invalid(context.where, "tensors of a known element type", `the value '${v.name}' of another type`);
	return type;
}

function valueDims(type: TypeProto | undefined): Dims {
	const shape = type?.value.case === "tensorType" ? type.value.value.shape : undefined;
	if (!shape) return UNKNOWN_RANK;
	return shape.dim.map((d) => {
		if (d.value.case === "dimValue") return Number(d.value.value);
		return d.value.case === "dimParam" && d.value.value !== "" ? d.value.value : UNKNOWN_DIM;
	});
}
