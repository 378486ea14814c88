/** @file Element types: their codes in ONNX files, sizes in bytes, and names in `src/tensor`. */
import { KintsugiError } from "../errors.ts";
import { type DataArrays, type DType, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import type { ConstantTensor, ElementType } from "./graph.ts";

/** TensorProto.DataType of the standard; types that are absent (float8, int4, complex) are refused when read. */
const CODES = {
	float: 1,
	uint8: 2,
	int8: 3,
	uint16: 4,
	int16: 5,
	int32: 6,
	int64: 7,
	string: 8,
	bool: 9,
	float16: 10,
	double: 11,
	uint32: 12,
	uint64: 13,
	bfloat16: 16,
} as const satisfies Record<ElementType, number>;

const TYPES = new Map<number, ElementType>(Object.entries(CODES).map(([type, code]) => [code, type as ElementType]));

const SIZES: Record<ElementType, number> = {
	float: 4,
	uint8: 1,
	int8: 1,
	uint16: 2,
	int16: 2,
	int32: 4,
	int64: 8,
	string: 0,
	bool: 1,
	float16: 2,
	double: 8,
	uint32: 4,
	uint64: 8,
	bfloat16: 2,
};

const DTYPES = {
	float: "float32",
	double: "float64",
	int64: "int64",
	int32: "int32",
	uint8: "uint8",
	bool: "bool",
	float16: "float16",
} as const satisfies Partial<Record<ElementType, DType>>;

export const elementCode = (type: ElementType): number => CODES[type];

/** The type with this code; undefined for types that the project does not read. */
export const elementType = (code: number): ElementType | undefined => TYPES.get(code);

/** Bytes of one element. */
export const elementSize = (type: ElementType): number => SIZES[type];

/** The tensor dtype of an element type; undefined where `src/tensor` has none. */
export const dtypeOf = (type: ElementType): DType | undefined => (DTYPES as Partial<Record<ElementType, DType>>)[type];

/** The element type with this name in ONNX Runtime, which are the dtypes and more; undefined if there is none. */
export function elementTypeOf(name: DType): ElementType;
export function elementTypeOf(name: string): ElementType | undefined;
export function elementTypeOf(name: string): ElementType | undefined {
	if (name === "float32") return "float";
	if (name === "float64") return "double";
	return Object.keys(CODES).find((type): type is ElementType => type === name);
}

export const isFloat = (type: ElementType): boolean => type === "float" || type === "double" || type === "float16" || type === "bfloat16";

const ARRAYS: { [D in DType]: new (buffer: ArrayBuffer) => DataArrays[D] } = {
	float32: Float32Array,
	float64: Float64Array,
	int64: BigInt64Array,
	int32: Int32Array,
	uint8: Uint8Array,
	bool: Uint8Array,
	float16: Uint16Array,
};

/** A constant that lies in memory, as a tensor (copied); undefined if its bytes lie in a file or its type has no dtype. */
export function constantTensor(constant: ConstantTensor): Tensor<DType> | undefined {
	const dtype = dtypeOf(constant.type);
	if (!dtype || !("data" in constant.bytes)) return undefined;
	const copy = new ArrayBuffer(constant.bytes.data.byteLength);
	new Uint8Array(copy).set(constant.bytes.data);
	return tensor(new ARRAYS[dtype](copy), constant.dims, dtype);
}

/** The values of a small integer, bool or float constant as numbers; undefined if they cannot be read from memory. */
export function constantNumbers(constant: ConstantTensor): number[] | undefined {
	const t = constantTensor(constant);
	return t && t.dtype !== "float16" ? Array.from(t.data as ArrayLike<number | bigint>, Number) : undefined;
}

/** A tensor as a graph constant; shares the tensor's memory. */
export const constantOf = (t: Tensor<DType>): ConstantTensor => ({
	type: elementTypeOf(t.dtype),
	dims: t.dims,
	bytes: { data: new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength) },
});

/** Throws `onnx` unless dims and byte length belong together. */
export function checkBytes(where: string, type: ElementType, dims: readonly number[], length: number): void {
	const expected = sizeOf(dims) * SIZES[type];
	if (dims.some((d) => d < 0 || !Number.isSafeInteger(d)) || expected !== length) {
		throw new KintsugiError("onnx", {
			where,
			expected: `${expected} bytes for ${type} [${dims.join(", ")}]`,
			found: `${length}`,
			fix: "export the model again; the file is damaged",
		});
	}
}
