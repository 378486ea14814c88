/** @file Takes an accepted graph through everything that follows: freeze, vjp, ONNX Runtime. */
import { gradientName, vjp } from "../../src/autodiff/index.ts";
import { KintsugiError } from "../../src/errors.ts";
import { isFloat } from "../../src/onnx/elements.ts";
import { type Dims, freeze, type Graph } from "../../src/onnx/index.ts";
import { openSession, type Session, shapeRuntime } from "../../src/runtime/index.ts";
import { random } from "../../src/tensor/random.ts";
import { type DType, sizeOf, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { stackOf } from "./check-read.ts";

export type GradientOutcome =
	| "gradient computed"
	| "gradient built, too large to run"
	| "nothing to differentiate"
	| { refused: KintsugiError }
	| { fault: string };

/** Graphs with larger values are built, not run. */
const LARGEST = 2 ** 20;

const isSymbolic = (dims: Dims) => dims.some((d) => typeof d === "string");

const given = (dims: Dims): number[] => (dims[0] === "*" ? [2] : dims.map((d) => (typeof d === "string" ? 2 : d)));

function feed(dims: readonly number[], dtype: DType, key: string): Tensor<DType> {
	const n = sizeOf(dims);
	if (dtype === "float32") return tensor(random("feed", key).normals(n), dims);
	const data = {
		float64: Float64Array,
		int64: BigInt64Array,
		int32: Int32Array,
		uint8: Uint8Array,
		bool: Uint8Array,
		float16: Uint16Array,
	};
	return tensor(new data[dtype](n), dims, dtype);
}

async function differentiate(graph: Graph): Promise<GradientOutcome> {
	const dims = Object.fromEntries(graph.inputs.filter((v) => isSymbolic(v.dims)).map((v) => [v.name, given(v.dims)]));
	const frozen = await freeze(graph, { dims }, shapeRuntime);
	const of = frozen.outputs.find((v) => isFloat(v.type));
	const wrt = frozen.inputs.find((v) => isFloat(v.type));
	if (!of || !wrt) return "nothing to differentiate";
	const gradient = vjp(frozen, { of: [of.name], wrt: [wrt.name] });
	const session = await openSession(gradient);
	try {
		const large = [...frozen.values.values()].some((v) => sizeOf(v.dims) > LARGEST);
		return large ? "gradient built, too large to run" : await run(session, gradientName(wrt.name));
	} finally {
		await session.close();
	}
}

async function run(session: Session, gradient: string): Promise<GradientOutcome> {
	const feeds = Object.fromEntries(session.inputs.map(({ name, dims, dtype }) => [name, feed(given(dims), dtype, name)]));
	const results = await session.run(feeds);
	return Object.hasOwn(results, gradient) ? "gradient computed" : { fault: "ran without a gradient" };
}

/** Whatever is not a gradient or a KintsugiError is a fault. */
export async function checkGradient(graph: Graph): Promise<GradientOutcome> {
	try {
		return await differentiate(graph);
	} catch (error) {
		return error instanceof KintsugiError ? { refused: error } : { fault: stackOf(error) };
	}
}
