/** @file Models that the fuzzer damages: the golden ones, and small ones with the parts of the format that those lack. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, StringStringEntryProtoSchema, type TensorProto, TensorProtoSchema } from "onnx-buf";
import { float, floatTensor, type Graph, type GraphBuilder, graphBuilder, writeModel } from "../../src/onnx/index.ts";

export interface Seed {
	name: string;
	bytes: Uint8Array;
}

const golden = join(import.meta.dirname, "../golden");

function goldenModels(): Seed[] {
	const list = (folder: string) => readdirSync(folder).map((file) => join(folder, file));
	return [...list(golden), ...list(join(golden, "autodiff"))]
		.filter((file) => file.endsWith(".onnx"))
		.sort()
		.map((file) => ({ name: file.slice(golden.length + 1), bytes: new Uint8Array(readFileSync(file)) }));
}

function build(opset: number, body: (b: GraphBuilder) => void): Uint8Array {
	const b = graphBuilder({ opset });
	body(b);
	return writeModel(b.build());
}

/** Two branches that read outer values, one of them with an If of its own. */
function controlFlow(): Uint8Array {
	const branch = (op: string, more: Graph["nodes"] = []): Graph => ({
		name: op,
		opset: 18,
		domains: {},
		inputs: [],
		outputs: [{ name: `${op}/out`, type: "float", dims: [2, 3] }],
		initializers: new Map(),
		nodes: [...more, { op, domain: "", name: op, inputs: ["x"], outputs: [`${op}/out`], attributes: {} }],
	});
	return build(18, (b) => {
		b.input("x", "float", [2, 3]);
		b.input("flag", "bool", []);
		const inner = { then_branch: { graph: branch("Sin") }, else_branch: { graph: branch("Cos") } };
		const nested = { op: "If", domain: "", name: "inner", inputs: ["flag"], outputs: ["inner/out"], attributes: inner };
		const branches = { then_branch: { graph: branch("Exp", [nested]) }, else_branch: { graph: branch("Neg") } };
		b.output(b.op("Relu", [b.op("If", ["flag"], branches)]), "float", [2, 3]);
	});
}

/** Constant nodes in every form, attributes of every kind, symbolic and unknown dims, an operator of another domain. */
function everyKind(): Uint8Array {
	return build(20, (b) => {
		b.input("x", "float", ["batch", 3, "?"]);
		b.input("any", "int64", ["*"]);
		const constants = [
			b.op("Constant", [], { value: { tensor: floatTensor([1, 2, 3], [3, 1]) } }),
			b.op("Constant", [], { value_float: float(0.5) }),
			b.op("Constant", [], { value_floats: { floats: [1, 2, 3] } }),
		];
		const axes = b.op("Constant", [], { value_ints: [1, 2] });
		const sum = b.op("Mul", [b.op("Add", ["x", constants[0]]), constants[1]], {}, { name: "sum" });
		b.output(b.op("ReduceSum", [sum, axes], { keepdims: 0 }), "float", ["batch"]);
		b.output(b.op("Identity", [constants[2]]), "float", [3]);
		const attributes = { names: { strings: ["a", "ü"] }, list: [1, 2], text: "t", slope: float(1), slopes: { floats: [1, 2] } };
		b.output(b.op("Custom", [sum, "", "any"], attributes, { domain: "example" }), "int64", ["*"]);
	});
}

/** The operators whose forms `upgrade` rewrites. */
function oldForms(): Uint8Array {
	return build(11, (b) => {
		b.input("x", "float", ["n", 4, 6]);
		const parts = b.ops("Split", ["x"], 2, { axis: 2 });
		const y = b.op("Dropout", [b.op("Softmax", [b.op("Concat", parts, { axis: 1 })], { axis: 1 })], { ratio: float(0.1) });
		const z = b.op("ReduceMean", [b.op("Unsqueeze", [y], { axes: [0] })], { axes: [-1], keepdims: 0 });
		b.output(b.op("ReduceSum", [b.op("Squeeze", [z], { axes: [0] })], { axes: [1] }), "float", ["*"]);
		b.output(b.op("LogSoftmax", ["x"]), "float", ["n", 4, 6]);
	});
}

/** Numbers in the typed fields of a tensor, and beside the model. */
function everyData(): Uint8Array {
	const base = build(17, (b) => {
		b.input("x", "float", [4]);
		const names = Array.from({ length: 8 }, (_, i) => b.constant(floatTensor([1, 2, 3, 4], [4]), `w${i}`));
		const casts = names.map((name) => b.op("Cast", [name], { to: 1 }));
		b.output(b.op("Sum", ["x", ...casts]), "float", [4]);
	});
	const model = fromBinary(ModelProtoSchema, base);
	const four = [1, 2, 3, 4];
	const entry = (key: string, value: string) => create(StringStringEntryProtoSchema, { key, value });
	const outside = (...entries: [string, string][]): Partial<TensorProto> => ({
		dataType: 1,
		dataLocation: 1,
		externalData: [entry("location", "weights.bin"), ...entries.map(([key, value]) => entry(key, value))],
	});
	const forms: Partial<TensorProto>[] = [
		{ dataType: 1, floatData: four },
		{ dataType: 11, doubleData: four },
		{ dataType: 7, int64Data: four.map(BigInt) },
		{ dataType: 6, int32Data: four },
		{ dataType: 10, int32Data: [0x3c00, 0x4000, 0x4200, 0x4400] },
		{ dataType: 9, int32Data: [0, 1, 0, 1] },
		outside(["offset", "64"], ["length", "16"]),
		outside(),
	];
	if (model.graph)
		model.graph.initializer = forms.map((form, i) => create(TensorProtoSchema, { name: `w${i}`, dims: [4n], ...form } as TensorProto));
	return toBinary(ModelProtoSchema, model);
}

/** Many operators with a rule on short paths, so that damaged attributes and shapes reach the rules. */
function operators(): Uint8Array {
	return build(18, (b) => {
		b.input("x", "float", ["n", 4, 6, 6]);
		const wave = (...dims: number[]) => {
			const n = dims.reduce((p, d) => p * d, 1);
			return b.constant(
				floatTensor(
					Float32Array.from({ length: n }, (_, i) => Math.sin(i + 1)),
					dims,
				),
			);
		};
		const conv = b.op("Conv", ["x", wave(4, 2, 3, 3), wave(4)], { group: 2, pads: [1, 1, 1, 1], strides: [2, 2], dilations: [1, 1] });
		const up = b.op("ConvTranspose", [conv, wave(4, 4, 2, 2)], { strides: [2, 2] });
		const pool = b.op("MaxPool", ["x"], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 0 });
		const average = b.op("AveragePool", ["x"], { kernel_shape: [2, 2], strides: [2, 2], count_include_pad: 1 });
		const resized = b.op("Resize", [average, "", b.constant(floatTensor([1, 1, 2, 2], [4]))], { mode: "linear" });
		const norm = b.op("LayerNormalization", ["x", wave(6), wave(6)], { axis: -1 });
		const instance = b.op("InstanceNormalization", ["x", wave(4), wave(4)]);
		const sliced = b.op("Slice", ["x", b.ints([0]), b.ints([4]), b.ints([3]), b.ints([2])]);
		const padded = b.op("Pad", [sliced, b.ints([0, 0, 0, 0, 0, 0, 0, 4])], { mode: "edge" });
		const gathered = b.op("Gather", ["x", b.ints([3, 1, 0, 1])], { axis: 1 });
		const shuffled = b.op("Transpose", [b.op("Reshape", [gathered, b.ints([0, 2, 2, 6, 6])])], { perm: [0, 2, 1, 3, 4] });
		const flat = b.op("Reshape", [shuffled, b.ints([0, 4, 6, 6])]);
		const product = b.op("Einsum", ["x", wave(6, 6)], { equation: "nchw,wk->nchk" });
		const clipped = b.op("Clip", [b.op("MatMul", [product, wave(6, 6)]), b.scalar(-1), b.scalar(1)]);
		const [top] = b.ops("TopK", ["x", b.ints([6])], 2, { axis: 3 });
		const tiled = b.op("Tile", [b.op("ReduceMax", ["x", b.ints([2, 3])]), b.ints([1, 1, 6, 6])]);
		const cumulated = b.op("CumSum", ["x", b.ints([1])]);
		const halves = b.ops("Split", ["x"], 2, { axis: 1, num_outputs: 2 });
		const joined = b.op("Concat", [b.op("Relu", [halves[0]]), b.op("Gelu", [halves[1]], {}, { domain: "com.microsoft" })], { axis: 1 });
		const all = [up, resized, norm, instance, padded, flat, clipped, top, tiled, cumulated, joined, b.op("Softmax", ["x"], { axis: 1 })];
		b.output(b.op("Sum", all, {}, { name: "y" }), "float", ["n", 4, 6, 6]);
		b.output(b.op("GlobalAveragePool", [pool]), "float", ["n", 4, 1, 1]);
	});
}

const made = (): Seed[] =>
	Object.entries({ controlFlow, everyKind, oldForms, everyData, operators }).map(([name, make]) => ({ name, bytes: make() }));

/** Models of at most `limit` bytes; the order is that of the names, so that a seed gives the same inputs everywhere. */
export const seedModels = (limit: number): Seed[] => [...goldenModels().filter((s) => s.bytes.length <= limit), ...made()];
