/** @file Dense row-major typed arrays with dims. */
import { KintsugiError } from "../errors.ts";

/** Element types and the arrays that hold them; the names are those of ONNX Runtime. */
export interface DataArrays {
	float32: Float32Array;
	float64: Float64Array;
	int64: BigInt64Array;
	int32: Int32Array;
	uint8: Uint8Array;
	bool: Uint8Array;
	/** Raw IEEE half bits. */
	float16: Uint16Array;
}

export type DType = keyof DataArrays;

export interface Tensor<D extends DType = "float32"> {
	readonly dtype: D;
	readonly dims: readonly number[];
	readonly data: DataArrays[D];
}

/** Number of elements of a tensor with these dims. */
export const sizeOf = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

/** Wraps data without copying it; throws `shape` if the length does not fit the dims. */
export function tensor(data: Float32Array, dims: readonly number[]): Tensor;
export function tensor<D extends DType>(data: DataArrays[D], dims: readonly number[], dtype: D): Tensor<D>;
export function tensor(data: DataArrays[DType], dims: readonly number[], dtype: DType = "float32"): Tensor<DType> {
	if (data.length !== sizeOf(dims)) {
		throw new KintsugiError("shape", {
			where: "tensor",
			expected: `${sizeOf(dims)} elements for dims [${dims.join(", ")}]`,
			found: `${data.length}`,
			fix: "pass data and dims that belong together",
		});
	}
	return { dtype, dims: [...dims], data };
}

/** A float32 tensor of zeros. */
export const zeros = (dims: readonly number[]): Tensor => tensor(new Float32Array(sizeOf(dims)), dims);

/** A float32 tensor filled with one value. */
export const full = (dims: readonly number[], value: number): Tensor => tensor(new Float32Array(sizeOf(dims)).fill(value), dims);

/** A float32 copy that can be changed without touching the original. */
export const clone = (t: Tensor): Tensor => tensor(t.data.slice(), t.dims);

/** Row `i` of the first axis as a view (no copy): `[N, ...rest]` -> `[...rest]`. */
export function row(t: Tensor, i: number): Tensor {
	const rest = t.dims.slice(1);
	const n = sizeOf(rest);
	return tensor(t.data.subarray(i * n, (i + 1) * n), rest);
}

/** Tensors of equal dims `[...rest]` joined along a new first axis: `[N, ...rest]`. */
export function stack(parts: readonly Tensor[]): Tensor {
	const first = parts[0];
	if (!first) {
		throw new KintsugiError("shape", {
			where: "stack",
			expected: "at least one tensor",
			found: "none",
			fix: "do not stack an empty batch",
		});
	}
	const n = sizeOf(first.dims);
	const out = new Float32Array(n * parts.length);
	parts.forEach((part, i) => {
		assertDims("stack", part, first.dims);
		out.set(part.data, i * n);
	});
	return tensor(out, [parts.length, ...first.dims]);
}

/** Throws `shape` unless the dims are as expected; -1 in `expected` matches any size. */
export function assertDims(where: string, t: Tensor<DType>, expected: readonly number[]): void {
	const fits = t.dims.length === expected.length && expected.every((d, i) => d === -1 || d === t.dims[i]);
	if (!fits) {
		throw new KintsugiError("shape", {
			where,
			expected: `dims [${expected.map((d) => (d === -1 ? "any" : d)).join(", ")}]`,
			found: `[${t.dims.join(", ")}]`,
			fix: "pass a tensor of that shape",
		});
	}
}
