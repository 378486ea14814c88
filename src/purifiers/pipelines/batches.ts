/** @file Work in batches of a fixed size, so that what is computed for one job does not depend on the others. */
import { type Tensor, tensor } from "../../tensor/tensor.ts";

/** Consecutive groups of at most `size`. */
export function groups<T>(items: readonly T[], size: number): T[][] {
	return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/** The group, filled up to `size` with repetitions of its last item: a graph of another batch size may round differently. */
export function padded<T>(group: readonly T[], size: number): T[] {
	return Array.from({ length: size }, (_, i) => group[Math.min(i, group.length - 1)]);
}

/** Row `i` of a batch as a copy that later changes of the batch do not touch. */
export function rowCopy(t: Tensor, i: number): Float32Array {
	const size = t.data.length / t.dims[0];
	return t.data.slice(i * size, (i + 1) * size);
}

/** Equal rows joined: n arrays -> `[n, ...dims]`. */
export function joined(rows: readonly Float32Array[], dims: readonly number[]): Tensor {
	const size = rows[0].length;
	const out = new Float32Array(size * rows.length);
	for (const [i, values] of rows.entries()) out.set(values, i * size);
	return tensor(out, [rows.length, ...dims]);
}

/** Pixels in [0, 1] -> [-1, 1], the range of the diffusion models. */
export const toModel = (pixels: Float32Array): Float32Array => pixels.map((v) => 2 * v - 1);

/** [-1, 1] -> pixels in [0, 1], clipped. */
export const toPixels = (values: Float32Array): Float32Array => values.map((v) => Math.min(1, Math.max(0, v / 2 + 0.5)));
