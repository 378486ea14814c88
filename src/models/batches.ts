/** @file Runs any number of images through graphs of one fixed batch size, so that a result does not depend on what else is passed. */
import { row, type Tensor, tensor } from "../tensor/tensor.ts";

/** Rows `[from, from + size)` of `[N, ...rest]`; rows past the end are zero. */
function chunk(t: Tensor, from: number, size: number): Tensor {
	const [n, ...rest] = t.dims;
	const width = t.data.length / n;
	const data = new Float32Array(size * width);
	data.set(t.data.subarray(from * width, Math.min(n, from + size) * width));
	return tensor(data, [size, ...rest]);
}

/**
 * Calls `run` with chunks of exactly `size` rows of every input, the last one padded with zeros, and joins the rows of its
 * outputs: `[N, ...]` in, `[N, ...]` out.
 */
export async function inBatches<Output extends string>(
	size: number,
	inputs: readonly Tensor[],
	run: (...chunks: Tensor[]) => Promise<Record<Output, Tensor>>,
): Promise<Record<Output, Tensor>> {
	const n = inputs[0].dims[0];
	const joined: Partial<Record<Output, Tensor>> = {};
	for (let from = 0; from < n; from += size) {
		const outputs = await run(...inputs.map((t) => chunk(t, from, size)));
		for (const [name, value] of Object.entries(outputs) as [Output, Tensor][]) {
			const rest = value.dims.slice(1);
			const whole = joined[name] ?? tensor(new Float32Array((value.data.length / size) * n), [n, ...rest]);
			joined[name] = whole;
			for (let i = 0; i < size && from + i < n; i++) row(whole, from + i).data.set(row(value, i).data);
		}
	}
	return joined as Record<Output, Tensor>;
}
