/** @file Golden tensors from a .safetensors file, for tests. */
import { fileURLToPath } from "node:url";
import { readSafetensors } from "../../src/models/diffusers/safetensors.ts";
import { readBytes } from "../../src/runtime/model-file.ts";
import { type DType, type Tensor, tensor } from "../../src/tensor/tensor.ts";

/** Absolute path below test/golden. */
export const golden = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Reads all tensors; float16 is not expected here. */
export async function readTensors(path: string): Promise<Record<string, Tensor<DType>>> {
	const tensors: Record<string, Tensor<DType>> = {};
	for (const [name, { type, dims, bytes }] of await readSafetensors(path)) {
		const { buffer } = readBytes(bytes).slice();
		if (type === "int64") tensors[name] = tensor(new BigInt64Array(buffer), dims, "int64");
		else if (type === "int32") tensors[name] = tensor(new Int32Array(buffer), dims, "int32");
		else tensors[name] = tensor(new Float32Array(buffer), dims);
	}
	return tensors;
}

/** Largest absolute difference; infinite where the sizes differ. */
export function maxDifference(a: Tensor<DType> | undefined, b: Tensor<DType> | undefined): number {
	if (!a || !b || a.dims.join() !== b.dims.join()) return Number.POSITIVE_INFINITY;
	return Array.from(a.data as Float32Array).reduce((worst, v, i) => Math.max(worst, Math.abs(v - (b.data as Float32Array)[i])), 0);
}
