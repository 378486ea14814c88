/** @file Damages models that still decode: names, types, dims, attributes, external data. */
import { clearField, create } from "@bufbuild/protobuf";
import {
	AttributeProtoSchema,
	FunctionProtoSchema,
	GraphProtoSchema,
	ModelProtoSchema,
	NodeProtoSchema,
	OperatorSetIdProtoSchema,
	SparseTensorProtoSchema,
	StringStringEntryProtoSchema,
	TensorProtoSchema,
	TensorShapeProto_DimensionSchema,
	TrainingInfoProtoSchema,
	TypeProto_SequenceSchema,
	ValueInfoProtoSchema,
} from "onnx-buf";
import {
	buried,
	type ModelMutation,
	onAttribute,
	onDims,
	onGraph,
	onNode,
	onTensor,
	onValue,
	renameValue,
	setAt,
	valueNames,
} from "./model-parts.ts";

const NUMBERS = [0n, 1n, -1n, 2n, 3n, 7n, -2n, 255n, 65536n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 40n, -(2n ** 40n), 2n ** 53n, 2n ** 62n];
const EXTREMES = [...NUMBERS, 2n ** 63n - 1n, -(2n ** 63n)];
const FLOATS = [0, -0, 1, -1, 0.5, 1e-45, 3e38, -3e38, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const NAMES = [
	"",
	"*",
	"?",
	"__proto__",
	"constructor",
	"toString",
	"hasOwnProperty",
	"a\0b",
	"\ufeffx",
	"ü",
	"\u202e",
	" ",
	"'",
	"\n",
	"x".repeat(9000),
];
const MADE = ["grad/x", "grad/Mul", "cotangent/y", "upgrade/const", "grad/const", "grad/grad/x"];
const OPERATORS = [
	...["If", "Loop", "Scan", "Constant", "Identity", "Reshape", "Conv", "MatMul", "Gemm", "Softmax", "Split", "Squeeze", "Slice", "Resize"],
	...[
		"Gather",
		"Dropout",
		"ReduceSum",
		"TopK",
		"Pad",
		"Tile",
		"Expand",
		"Einsum",
		"LSTM",
		"SequenceConstruct",
		"SplitToSequence",
		"StringNormalizer",
	],
	...["ConstantOfShape", "Range", "Cast", "QuantizeLinear", "NoSuchOperator", "constructor", "__proto__", ""],
];
const DOMAINS = ["", "ai.onnx", "com.microsoft", "ai.onnx.ml", "ai.onnx.preview.training", "__proto__", "nowhere"];
const LOCATIONS = [
	...[
		"../secret.bin",
		"/etc/passwd",
		"sub/../../secret.bin",
		"..",
		".",
		"",
		"sub",
		"sub/",
		"./weights.bin",
		"weights.bin",
		"sub/weights.bin",
	],
	...[
		"missing.bin",
		"link-out",
		"link-in",
		"link-loop",
		"link-folder/passwd",
		"weights.bin\0.txt",
		"C:\\weights.bin",
		"\\\\host\\share",
		"sub\\..\\..\\secret.bin",
	],
	...["//etc/passwd", "file:///etc/passwd", "~/secret.bin", "model.onnx", "fifo", "x".repeat(5000), "sub//weights.bin", "weights.bin/"],
];
const RANGES = [
	"0",
	"1",
	"4",
	"16",
	"64",
	"999",
	"1000",
	"4096",
	"-1",
	"1e3",
	"0x10",
	" 8",
	"",
	"NaN",
	"Infinity",
	`${2 ** 40}`,
	`${2 ** 53}`,
	`${2n ** 63n}`,
	"9".repeat(40),
	"1.5",
];

const dimension = (value: bigint) => create(TensorShapeProto_DimensionSchema, { value: { case: "dimValue", value } });

export const MODEL: Record<string, ModelMutation> = {
	"tensor: dims replaced": onTensor((t, r) => setAt(t.dims, r, r.pick(EXTREMES))),
	"tensor: dims added or removed": onTensor((t, r) => {
		if (r.uniform() < 0.3) t.dims = [];
		else if (r.uniform() < 0.5) t.dims.pop();
		else t.dims.push(...Array.from({ length: r.pick([1, 2, 10, 3000]) }, () => r.pick([1n, 1n, 1n, 2n, 2n ** 40n])));
	}),
	"tensor: element type": onTensor((t, r) => {
		t.dataType = r.pick([...Array.from({ length: 26 }, (_, i) => i), -1, 1000]);
	}),
	"tensor: data cut or doubled": onTensor((t, r) => {
		const n = r.int(t.rawData.length + 1);
		t.rawData = r.uniform() < 0.5 ? t.rawData.subarray(0, n) : Uint8Array.from(Buffer.concat([t.rawData, t.rawData]));
	}),
	"tensor: another field of data": onTensor((t, r) => {
		if (r.uniform() < 0.5) t.rawData = new Uint8Array();
		t.floatData.push(...Array.from({ length: r.int(8) }, () => r.pick(FLOATS)));
		t.int32Data.push(...Array.from({ length: r.int(8) }, () => r.int(2 ** 31)));
		t.int64Data.push(...Array.from({ length: r.int(8) }, () => r.pick(EXTREMES)));
		t.uint64Data.push(...Array.from({ length: r.int(8) }, () => 2n ** 64n - 1n));
		t.stringData.push(...Array.from({ length: r.int(3) }, () => Uint8Array.of(0xff)));
	}),
	"tensor: external data": onTensor((t, r) => {
		t.dataLocation = 1;
		if (r.uniform() < 0.8) t.rawData = new Uint8Array();
		const entry = (key: string, value: string) => t.externalData.push(create(StringStringEntryProtoSchema, { key, value }));
		if (r.uniform() < 0.95) entry("location", r.pick(LOCATIONS));
		if (r.uniform() < 0.6) entry("offset", r.pick(RANGES));
		if (r.uniform() < 0.6) entry("length", r.pick(RANGES));
		if (r.uniform() < 0.3) t.dims = [r.pick([0n, 1n, 4n, 250n, 1000n])];
		if (r.uniform() < 0.1) entry("location", r.pick(LOCATIONS));
	}),
	"value: dim replaced": onDims((dim, r) => setAt(dim, r, dimension(r.pick(EXTREMES)))),
	"value: dim named": onDims((dim, r) =>
		setAt(dim, r, create(TensorShapeProto_DimensionSchema, { value: { case: "dimParam", value: r.pick(NAMES) } })),
	),
	"value: dims added or removed": onDims((dim, r) => {
		if (r.uniform() < 0.5) dim.pop();
		else dim.push(...Array.from({ length: r.pick([1, 5, 1000]) }, () => dimension(r.pick([1n, 2n]))));
	}),
	"value: element type": onValue((v, r) => {
		if (v.type?.value.case === "tensorType") v.type.value.value.elemType = r.int(26);
	}),
	"value: no type": onValue((v, r) => {
		if (r.uniform() < 0.5 && v.type) v.type.value = { case: undefined };
		else clearField(v, ValueInfoProtoSchema.field.type);
	}),
	"value: another kind": onValue((v) => {
		if (v.type) v.type.value = { case: "sequenceType", value: create(TypeProto_SequenceSchema, {}) };
	}),
	"names: one value renamed": onGraph((graph, r) => {
		const names = valueNames(graph);
		if (names.length > 0) renameValue(graph, r.pick(names), r.pick([...NAMES, ...MADE]));
	}),
	"names: two values alike": onGraph((graph, r) => {
		const names = valueNames(graph);
		if (names.length > 0) renameValue(graph, r.pick(names), r.pick(names));
	}),
	"names: an input of a node": onNode((n, r, graph) => setAt(n.input, r, r.pick(["nowhere", "", ...valueNames(graph), ...n.output]))),
	"names: an output of a node": onNode((n, r, graph) => setAt(n.output, r, r.pick(["elsewhere", "", ...valueNames(graph), ...n.input]))),
	"names: a cycle": onGraph((graph, r) => {
		if (graph.node.length < 2) return;
		const i = r.int(graph.node.length - 1);
		const later = graph.node[i + 1 + r.int(graph.node.length - 1 - i)];
		if (later.output.length > 0) setAt(graph.node[i].input, r, r.pick(later.output));
	}),
	"names: initializers, inputs, outputs": onGraph((graph, r) => {
		const list = r.pick([graph.initializer, graph.input, graph.output]) as { name: string }[];
		if (list.length > 0) r.pick(list).name = r.pick([...valueNames(graph), ...NAMES]);
	}),
	"names: declared twice": onGraph((graph, r) => {
		if (r.uniform() < 0.4 && graph.initializer.length > 0) graph.initializer.push(r.pick(graph.initializer));
		else if (r.uniform() < 0.5 && graph.input.length > 0) graph.input.push(r.pick(graph.input));
		else if (graph.output.length > 0) graph.output.push(r.pick(graph.output));
	}),
	"names: a symbolic graph name": onGraph((graph, r) => {
		graph.name = r.pick(NAMES);
	}),
	"node: operator": onNode((n, r, graph) => {
		n.opType = r.uniform() < 0.5 ? r.pick(OPERATORS) : r.pick(graph.node).opType;
	}),
	"node: domain": onNode((n, r) => {
		n.domain = r.pick(DOMAINS);
	}),
	"node: inputs or outputs added or removed": onNode((n, r, graph) => {
		const list = r.uniform() < 0.6 ? n.input : n.output;
		if (r.uniform() < 0.3) list.length = 0;
		else if (r.uniform() < 0.5) list.pop();
		else list.push(r.pick(["", "more", ...valueNames(graph)]));
	}),
	"node: removed": onGraph((graph, r) => void graph.node.splice(r.int(graph.node.length), 1)),
	"node: repeated": onNode((n, _, graph) => void graph.node.push(n)),
	"nodes in another order": onGraph((graph, r) => {
		graph.node = r.shuffled(graph.node);
	}),
	"nodes of another model": onGraph((graph, r, other) => {
		const from = other.graph?.node ?? [];
		if (from.length > 0) graph.node.splice(r.int(graph.node.length + 1), r.int(2), ...(r.uniform() < 0.8 ? [r.pick(from)] : from));
	}),
	"node: a Constant": onGraph((graph, r) => {
		const kind = r.pick(["value_int", "value_ints", "value_float", "value_floats", "value_string", "sparse_value", "value", "constructor"]);
		const attribute = create(AttributeProtoSchema, { name: kind, type: r.int(15), i: 1n, f: 2, ints: [3n], floats: [4] });
		graph.node.push(
			create(NodeProtoSchema, {
				opType: "Constant",
				attribute: [attribute],
				output: r.pick([[], [""], ["c"], ["c", "d"], valueNames(graph).slice(0, 1)]),
			}),
		);
	}),
	"attribute: type confused": onAttribute((a, r) => {
		a.type = r.int(16);
	}),
	"attribute: int": onAttribute((a, r) => {
		a.type = 2;
		a.i = r.pick(EXTREMES);
	}),
	"attribute: ints": onAttribute((a, r) => {
		a.type = 7;
		if (r.uniform() < 0.6 && a.ints.length > 0) setAt(a.ints, r, r.pick(EXTREMES));
		else if (r.uniform() < 0.5) a.ints.pop();
		else a.ints.push(...Array.from({ length: r.pick([1, 2, 500]) }, () => r.pick(NUMBERS)));
	}),
	"attribute: float": onAttribute((a, r) => {
		a.type = 1;
		a.f = r.pick(FLOATS);
	}),
	"attribute: string": onAttribute((a, r) => {
		a.type = 3;
		a.s =
			r.uniform() < 0.5
				? new TextEncoder().encode(r.pick([...NAMES, "SAME_UPPER", "linear", "ij,jk->ik", "...", "tanh"]))
				: Uint8Array.of(0xff, 0xfe, 0);
	}),
	"attribute: renamed": onAttribute((a, r) => {
		a.name = r.pick([...NAMES, "axis", "axes", "pads", "perm", "to"]);
	}),
	"attribute: removed": onAttribute((a, _, node) => void node.attribute.splice(node.attribute.indexOf(a), 1)),
	"attribute: repeated": onAttribute((a, _, node) => void node.attribute.push(a)),
	"attribute: moved to another node": onAttribute((a, r, node) => {
		node.attribute = node.attribute.filter((b) => b !== a || r.uniform() < 0.5);
		node.attribute.push(create(AttributeProtoSchema, { ...a, name: r.pick(["axis", "axes", "split", "kernel_shape", "mode", a.name]) }));
	}),
	"attribute: graph": onAttribute((a, r) => {
		a.type = 5;
		a.g = create(
			GraphProtoSchema,
			r.uniform() < 0.5 ? {} : { name: "g", node: [create(NodeProtoSchema, { opType: "Relu", input: ["x"], output: ["x"] })] },
		);
	}),
	"deep nesting": (model, r) => {
		if (model.graph) model.graph = buried(model.graph, r.pick([1, 5, 15, 25, 60]));
	},
	"initializer removed": onGraph((graph, r) => void graph.initializer.splice(r.int(graph.initializer.length), 1)),
	"initializer named as an input": onGraph((graph, r) => {
		if (graph.input.length > 0)
			graph.initializer.push(create(TensorProtoSchema, { name: r.pick(graph.input).name, dataType: 1, dims: [1n], floatData: [1] }));
	}),
	"inputs and outputs removed": onGraph((graph, r) => {
		const list = r.uniform() < 0.5 ? graph.input : graph.output;
		if (r.uniform() < 0.5) list.length = 0;
		else list.pop();
	}),
	opset: (model, r) => {
		const version = r.pick([...EXTREMES, 10n, 11n, 12n, 13n, 17n, 18n, 23n, 24n, 30n, 100n]);
		if (r.uniform() < 0.2) model.opsetImport = [];
		else if (r.uniform() < 0.7 && model.opsetImport.length > 0) r.pick(model.opsetImport).version = version;
		else model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: r.pick(DOMAINS), version }));
	},
	"no graph": (model) => clearField(model, ModelProtoSchema.field.graph),
	"parts that are not read": (model, r) => {
		const part = r.int(4);
		if (part === 0) model.functions.push(create(FunctionProtoSchema, { name: "f", domain: "local" }));
		else if (part === 1) model.graph?.sparseInitializer.push(create(SparseTensorProtoSchema, {}));
		else if (part === 2) model.trainingInfo.push(create(TrainingInfoProtoSchema, {}));
		else model.metadataProps.push(create(StringStringEntryProtoSchema, { key: "__proto__", value: "x" }));
	},
};
