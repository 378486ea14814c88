/** @file Compares a gradient graph with a numerical directional derivative. */
import { KintsugiError } from "../errors.ts";
import type { Graph } from "../onnx/graph.ts";
import { random } from "../tensor/random.ts";
import { type DType, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { cotangentName, gradientName } from "./vjp.ts";

/** Runs a gradient graph made by `vjp`: feeds by input name -> outputs by name. */
export type Runner = (feeds: Record<string, Tensor<DType>>) => Promise<Record<string, Tensor<DType>>>;

export interface CheckOptions {
	of: string;
	wrt: string;
	/** All inputs but the cotangent; the derivative is taken at this point. */
	feeds: Record<string, Tensor<DType>>;
	/** Half the step of the central difference, times a direction of standard normals. */
	step?: number;
	seed?: number | string;
}

export interface CheckResult {
	/** <J^T u, v> from the gradient graph. */
	analytic: number;
	/** <u, (f(x + s v) - f(x - s v)) / 2s> */
	numeric: number;
	/** |analytic - numeric| over the largest of both and 0.1 |J^T u|: a direction may happen to be almost orthogonal to the gradient. */
	error: number;
}

/**
 * Compares along one random direction v with one random cotangent u. `graph` was made by `vjp` with a cotangent input.
 * For a linear operator `step` may be 1 and the comparison is exact up to rounding: it is then the adjoint identity.
 */
export async function checkVjp(graph: Graph, run: Runner, { of, wrt, feeds, step = 1e-2, seed = 0 }: CheckOptions): Promise<CheckResult> {
	const x = float32(feeds[wrt], wrt);
	const cotangent = cotangentName(of);
	const dims = graph.inputs.find((v) => v.name === cotangent)?.dims.map(Number);
	if (!dims) throw missing(cotangent);
	const draw = random("check", seed);
	const v = draw.normals(x.data.length);
	const u = tensor(draw.normals(sizeOf(dims)), dims);
	const at = async (sign: number) => {
		const point = tensor(
			x.data.map((value, i) => value + sign * step * v[i]),
			x.dims,
		);
		return { point, results: await run({ ...feeds, [wrt]: point, [cotangent]: u }) };
	};
	const gradient = float32((await at(0)).results[gradientName(wrt)], gradientName(wrt));
	const [plus, minus] = [await at(1), await at(-1)];
	const [high, low] = [float32(plus.results[of], of), float32(minus.results[of], of)];
	let analytic = 0;
	let square = 0;
	for (let i = 0; i < v.length; i++) {
		// The step that was really taken, after rounding to float32.
		analytic += (gradient.data[i] * (plus.point.data[i] - minus.point.data[i])) / (2 * step);
		square += gradient.data[i] ** 2;
	}
	let numeric = 0;
	for (let i = 0; i < u.data.length; i++) numeric += (u.data[i] * (high.data[i] - low.data[i])) / (2 * step);
	const scale = Math.max(Math.abs(analytic), Math.abs(numeric), 0.1 * Math.sqrt(square));
	return { analytic, numeric, error: scale === 0 ? 0 : Math.abs(analytic - numeric) / scale };
}

function float32(t: Tensor<DType> | undefined, name: string): Tensor {
	if (t?.dtype !== "float32") throw missing(name);
	return t as Tensor;
}

const missing = (name: string) =>
	new KintsugiError("autodiff", {
		where: "checkVjp",
		expected: `a float32 tensor '${name}'`,
		found: "none",
		fix: "pass the graph that vjp made and feeds for all its inputs",
	});
