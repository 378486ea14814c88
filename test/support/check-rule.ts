/** @file Checks the rule of one operator against numerical derivatives of that operator in ONNX Runtime. */
import { expect } from "vitest";
import { checkVjp, vjp } from "../../src/autodiff/index.ts";
import {
	type AttributeInput,
	type ConstantTensor,
	constantOf,
	type Graph,
	graphBuilder,
	infer,
	int64Tensor,
} from "../../src/onnx/index.ts";
import { openSession, shapeRuntime } from "../../src/runtime/index.ts";
import { random } from "../../src/tensor/random.ts";
import { type DType, sizeOf, type Tensor, tensor } from "../../src/tensor/tensor.ts";

/** How inputs are drawn: standard normals; |normal| + 0.5; or multiples of 0.1 in random order, so that no two are near each other. */
export type Sample = "normal" | "positive" | "distinct";

/** Dims of a differentiated float input, or its value; a constant, a list of int64, or undefined for an input that is left out. */
export type Operand =
	| { dims: readonly number[] }
	| { at: Tensor }
	| { ints: readonly number[]; dims?: readonly number[] }
	| { constant: Tensor<DType> }
	| undefined;

export interface RuleCase {
	op: string;
	inputs: readonly Operand[];
	attributes?: Record<string, AttributeInput>;
	domain?: string;
	opset?: number;
	/** Number of outputs of the node, and which of them is differentiated. */
	outputs?: number;
	of?: number;
	sample?: Sample;
	/** Linear in each input: compared exactly (the adjoint identity). */
	linear?: boolean;
	step?: number;
	tolerance?: number;
	/** Differences up to this are rounding, however small the gradient. */
	floor?: number;
	seed?: number;
}

export const x = (...dims: number[]): Operand => ({ dims });
export const ints = (...values: number[]): Operand => ({ ints: values });
export const floats = (values: readonly number[], dims: readonly number[] = [values.length]): Operand => ({
	constant: tensor(Float32Array.from(values), dims),
});

export function draw(sample: Sample, dims: readonly number[], ...key: (string | number)[]): Tensor {
	const n = sizeOf(dims);
	const r = random("rule", ...key);
	if (sample === "normal") return tensor(r.normals(n), dims);
	if (sample === "positive")
		return tensor(
			r.normals(n).map((v) => Math.abs(v) + 0.5),
			dims,
		);
	const grid = Array.from({ length: n }, (_, i) => 0.1 * (i - Math.floor(n / 2)) + 0.05);
	return tensor(Float32Array.from(r.shuffled(grid)), dims);
}

const constantTensor = (operand: { constant: Tensor<DType> } | { ints: readonly number[]; dims?: readonly number[] }): ConstantTensor =>
	"constant" in operand ? constantOf(operand.constant) : int64Tensor(operand.ints, operand.dims ?? [operand.ints.length]);

export interface RuleGraph {
	gradient: Graph;
	/** The differentiated output. */
	of: string;
	/** Values of the differentiated inputs x0, x1, ... */
	feeds: Record<string, Tensor>;
}

/** A graph of the one operator, with its gradients. */
export async function ruleGraph({
	op,
	inputs,
	attributes,
	domain = "",
	opset = 20,
	outputs = 1,
	of = 0,
	...c
}: RuleCase): Promise<RuleGraph> {
	const b = graphBuilder({ opset });
	const feeds: Record<string, Tensor> = {};
	const names = inputs.map((operand, i) => {
		if (!operand) return "";
		if ("ints" in operand || "constant" in operand) return b.constant(constantTensor(operand), `c${i}`);
		const feed = "at" in operand ? operand.at : draw(c.sample ?? "normal", operand.dims, c.seed ?? 0, i);
		feeds[`x${i}`] = feed;
		return b.input(`x${i}`, "float", feed.dims);
	});
	const made = b.ops(op, names, outputs, attributes, { name: "y", domain });
	b.output(made[of], "float", []);
	const graph = await infer(b.build(), shapeRuntime);
	return { gradient: vjp(graph, { of: [made[of]], wrt: Object.keys(feeds) }), of: made[of], feeds };
}

/** Fails unless the rule agrees with the central difference for every float input. */
export async function checkRule(c: RuleCase): Promise<void> {
	const { op, inputs, attributes, linear = false, seed = 0, step = linear ? 1 : 2e-3, tolerance = linear ? 2e-5 : 4e-3, floor = 0 } = c;
	const { gradient, of, feeds } = await ruleGraph(c);
	const session = await openSession(gradient);
	try {
		for (const wrt of Object.keys(feeds)) {
			const result = await checkVjp(gradient, (f) => session.run(f), { of, wrt, feeds, step, seed });
			const label = `${op}, ${wrt}, ${JSON.stringify({ inputs, attributes })}: ${result.analytic} against ${result.numeric}`;
			expect(Number.isFinite(result.analytic), label).toBe(true);
			if (Math.abs(result.analytic - result.numeric) > floor) expect(result.error, label).toBeLessThan(tolerance);
		}
	} finally {
		await session.close();
	}
}
