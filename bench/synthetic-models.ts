/** @file Models of real size and structure whose weights are a hole in a file: gigabytes that cost no disk and no time. */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema } from "onnx-buf";
import { parseUNet2DCondition, unet2DCondition } from "../src/models/diffusers/unet-2d-condition.ts";
import { elementCode } from "../src/onnx/elements.ts";
import { type ConstantTensor, float, floatTensor, type Graph, type GraphBuilder, graphBuilder, writeModel } from "../src/onnx/index.ts";
import { writeModelFile } from "../src/runtime/index.ts";
import { sizeOf } from "../src/tensor/tensor.ts";

/** Declares a weight of these dims somewhere in a file of zeros. */
type Weight = (g: GraphBuilder, name: string, dims: readonly number[]) => string;

function weightsIn(file: string): { weight: Weight; bytes: () => number } {
	let end = 0;
	const constants = new Map<string, ConstantTensor>();
	const declared = (name: string, dims: readonly number[]): ConstantTensor => {
		const length = 4 * sizeOf(dims);
		const constant: ConstantTensor = { type: "float", dims, bytes: { file, offset: end, length } };
		end += length;
		constants.set(name, constant);
		return constant;
	};
	return {
		bytes: () => end,
		weight: (g, name, dims) => g.constant(constants.get(name) ?? declared(name, dims), name),
	};
}

export interface VitSize {
	layers: number;
	width: number;
	heads: number;
	mlp: number;
	patch?: number;
	pixels?: number;
	labels?: number;
}

/** A vision transformer as PyTorch's TorchScript exporter writes it: a symbolic batch, shape arithmetic, decomposed LayerNorm and GELU. */
function vit(weight: Weight, { layers, width, heads, mlp, patch = 14, pixels = 224, labels = 1000 }: VitSize): Graph {
	const g = graphBuilder({ name: "vit", opset: 14 });
	const tokens = (pixels / patch) ** 2 + 1;
	const number = (value: number) => g.constant(floatTensor([value], []));
	const batchOf = (x: string) => g.op("Unsqueeze", [g.op("Gather", [g.op("Shape", [x]), g.constant(index(0))], { axis: 0 }), g.ints([0])]);
	const shape = (x: string, rest: readonly number[]) => g.op("Concat", [batchOf(x), ...rest.map((d) => g.ints([d]))], { axis: 0 });
	const reshape = (x: string, ...rest: number[]) => g.op("Reshape", [x, shape(x, rest)]);
	const linear = (x: string, name: string, from: number, to: number) =>
		g.op("Add", [weight(g, `${name}.bias`, [to]), g.op("MatMul", [x, weight(g, `${name}.weight`, [from, to])])]);
	const norm = (x: string, name: string) => {
		const centred = g.op("Sub", [x, g.op("ReduceMean", [x], { axes: [-1], keepdims: 1 })]);
		const variance = g.op("ReduceMean", [g.op("Pow", [centred, number(2)])], { axes: [-1], keepdims: 1 });
		const scaled = g.op("Div", [centred, g.op("Sqrt", [g.op("Add", [variance, number(1e-6)])])]);
		return g.op("Add", [g.op("Mul", [scaled, weight(g, `${name}.weight`, [width])]), weight(g, `${name}.bias`, [width])]);
	};
	const gelu = (x: string) => {
		const erf = g.op("Erf", [g.op("Div", [x, number(Math.SQRT2)])]);
		return g.op("Mul", [g.op("Mul", [x, g.op("Add", [erf, number(1)])]), number(0.5)]);
	};
	const attention = (x: string, name: string) => {
		const split = (part: string, perm: number[]) =>
			g.op("Transpose", [reshape(linear(x, `${name}.${part}`, width, width), tokens, heads, width / heads)], { perm });
		const [q, k, v] = [split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])];
		const scores = g.op("Softmax", [g.op("Div", [g.op("MatMul", [q, k]), number(Math.sqrt(width / heads))])], { axis: -1 });
		const joined = g.op("Transpose", [g.op("MatMul", [scores, v])], { perm: [0, 2, 1, 3] });
		return linear(reshape(joined, tokens, width), `${name}.output`, width, width);
	};

	const image = g.input("pixel_values", "float", ["batch", 3, pixels, pixels]);
	const kernel = [weight(g, "patch.weight", [width, 3, patch, patch]), weight(g, "patch.bias", [width])];
	const patches = g.op("Conv", [image, ...kernel], { kernel_shape: [patch, patch], strides: [patch, patch] });
	const sequence = g.op("Transpose", [reshape(patches, width, tokens - 1)], { perm: [0, 2, 1] });
	const start = g.op("Expand", [
		weight(g, "cls_token", [1, 1, width]),
		shape(
			patches,
			[-1, -1].map(() => 1),
		),
	]);
	let x = g.op("Add", [g.op("Concat", [start, sequence], { axis: 1 }), weight(g, "position_embeddings", [1, tokens, width])]);
	for (let layer = 0; layer < layers; layer++) {
		const name = `encoder.layer.${layer}`;
		x = g.op("Add", [attention(norm(x, `${name}.layernorm_before`), `${name}.attention`), x]);
		const inner = gelu(linear(norm(x, `${name}.layernorm_after`), `${name}.intermediate`, width, mlp));
		x = g.op("Add", [linear(inner, `${name}.output`, mlp, width), x]);
	}
	const first = g.op("Gather", [norm(x, "layernorm"), g.constant(index(0))], { axis: 1 });
	const kernelOut = [weight(g, "classifier.weight", [labels, width]), weight(g, "classifier.bias", [labels])];
	g.output(g.op("Gemm", [first, ...kernelOut], { transB: 1, alpha: float(1) }, { name: "logits" }), "float", ["batch", labels]);
	return g.build();
}

const index = (value: number) => ({
	type: "int64" as const,
	dims: [],
	bytes: { data: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer) },
});

/** Channels and heads of the UNet of Stable Diffusion 2, inpainting. */
const SD2 = {
	in_channels: 9,
	attention_head_dim: [5, 10, 20, 20],
	cross_attention_dim: 1024,
	use_linear_projection: true,
};

/** A model file with its weights in a file beside it. Returns the bytes of the weights. */
function writeBeside(path: string, make: (weight: Weight) => Graph): number {
	const file = join(dirname(path), "weights.bin");
	const handle = openSync(file, "w");
	try {
		const { weight, bytes } = weightsIn(file);
		const graph = make(weight);
		ftruncateSync(handle, bytes());
		writeModelFile(graph, path);
		return bytes();
	} finally {
		closeSync(handle);
	}
}

export const writeVit = (path: string, size: VitSize): number => writeBeside(path, (weight) => vit(weight, size));

/** At 512 x 512 pixels. */
export const writeUnet = (path: string): number =>
	writeBeside(path, (weight) =>
		unet2DCondition(
			parseUNet2DCondition(SD2, "Stable Diffusion 2"),
			{ use: weight, has: () => true, finish: () => {}, files: [] },
			{ batch: 1, height: 64, width: 64, tokens: 77 },
		),
	);

/** The same with the weights inside the model file, as long as it stays below 2 GiB. */
export function writeVitInside(path: string, size: VitSize): number {
	const { weight, bytes } = weightsIn(path);
	const graph = vit(weight, size);
	const weights = [...graph.initializers].filter(([, c]) => "file" in c.bytes);
	const small = new Map([...graph.initializers].filter(([, c]) => "data" in c.bytes));
	const { graph: network, ...rest } = fromBinary(ModelProtoSchema, writeModel({ ...graph, initializers: small }));
	if (!network) throw new Error("a model without a graph");
	// Fields of onnx.proto: ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto.raw_data = 9; all with a length before them.
	const heads = weights.map(([name, { type, dims }]) => {
		const length = 4 * sizeOf(dims);
		const fields = toBinary(TensorProtoSchema, create(TensorProtoSchema, { name, dataType: elementCode(type), dims: dims.map(BigInt) }));
		const tensor = concat(fields, tagged(9, length));
		return { head: concat(tagged(5, tensor.length + length), tensor), length };
	});
	const body = toBinary(GraphProtoSchema, network);
	const total = heads.reduce((sum, { head, length }) => sum + head.length + length, body.length);
	const handle = openSync(path, "w");
	try {
		let at = 0;
		const put = (part: Uint8Array) => {
			at += writeSync(handle, part, 0, part.length, at);
		};
		for (const part of [toBinary(ModelProtoSchema, create(ModelProtoSchema, rest)), tagged(7, total), body]) put(part);
		for (const { head, length } of heads) {
			put(head);
			at += length;
		}
		ftruncateSync(handle, at);
	} finally {
		closeSync(handle);
	}
	return bytes();
}

const concat = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** Tag and length of a length-delimited protobuf field. */
function tagged(field: number, length: number): Uint8Array {
	const bytes = [field * 8 + 2];
	let rest = length;
	for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
	return Uint8Array.from([...bytes, rest]);
}
