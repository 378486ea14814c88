/** @file Weights without a checkpoint: takes down which tensors a network asks for. */
import type { Weights } from "../../src/models/diffusers/weights.ts";

/** Dims by name; a graph built with these weights cannot be opened. Throws if a tensor is asked for with other dims than before. */
export function recordedWeights(): { dims: Map<string, readonly number[]>; weights: Weights } {
	const dims = new Map<string, readonly number[]>();
	const weights: Weights = {
		files: [],
		has: () => true,
		finish: () => {},
		use(g, name, shape) {
			const known = dims.get(name) ?? shape;
			if (known.join() !== shape.join()) throw new Error(`${name} is asked for as [${known}] and as [${shape}]`);
			dims.set(name, shape);
			return g.fresh(name);
		},
	};
	return { dims, weights };
}
