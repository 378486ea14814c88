/** @file The graph as data: what an ONNX file says, without protobuf and without weights in memory. */

/** ONNX element types that this project reads and writes, by their ONNX names in lower case. */
export type ElementType =
	| "float"
	| "float16"
	| "bfloat16"
	| "double"
	| "int64"
	| "int32"
	| "int16"
	| "int8"
	| "uint64"
	| "uint32"
	| "uint16"
	| "uint8"
	| "bool"
	| "string";

/** Dims of a value; a string is a symbolic dim, such as "batch". */
export type Dims = readonly (number | string)[];

/** A dim of which a file says nothing, not even that it equals another. */
export const UNKNOWN_DIM = "?";

/** Dims of a value of which a file does not even say the rank. */
export const UNKNOWN_RANK: Dims = ["*"];

export interface ValueInfo {
	name: string;
	type: ElementType;
	dims: Dims;
}

/** Where the bytes of a tensor lie. `file` is an absolute path in memory and relative to the model's folder on disk. */
export type TensorBytes = { data: Uint8Array } | { file: string; offset: number; length: number };

/** A constant tensor; `bytes` are little endian, row major. */
export interface ConstantTensor {
	type: ElementType;
	dims: readonly number[];
	bytes: TensorBytes;
}

export type Attribute =
	| { int: bigint }
	| { float: number }
	| { string: string }
	| { tensor: ConstantTensor }
	| { ints: readonly bigint[] }
	| { floats: readonly number[] }
	| { strings: readonly string[] }
	| { graph: Graph };

export interface Node {
	/** Operator name as in the standard, e.g. "Conv". */
	op: string;
	/** "" is the standard's own domain (ai.onnx). */
	domain: string;
	name: string;
	/** "" stands for an optional input that is left out. */
	inputs: readonly string[];
	outputs: readonly string[];
	attributes: Readonly<Record<string, Attribute>>;
}

/** Nodes are in topological order. */
export interface Graph {
	name: string;
	opset: number;
	/** Versions of other domains, e.g. { "com.microsoft": 1 }. */
	domains: Readonly<Record<string, number>>;
	inputs: readonly ValueInfo[];
	outputs: readonly ValueInfo[];
	initializers: ReadonlyMap<string, ConstantTensor>;
	nodes: readonly Node[];
}
