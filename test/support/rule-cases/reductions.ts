/** @file Cases of reductions and normalisation layers. */
import fc from "fast-check";
import { float } from "../../../src/onnx/index.ts";
import { random } from "../../../src/tensor/random.ts";
import { sizeOf, tensor } from "../../../src/tensor/tensor.ts";
import { ints, type RuleCase, type Sample, x } from "../check-rule.ts";
import { dims, dimsAndAxis, each, flag, normals, type RuleCases, range, seed, uniforms } from "./arbitraries.ts";

const SAMPLES: Record<string, Sample> = {
	ReduceMax: "distinct",
	ReduceMin: "distinct",
	ReduceL1: "distinct",
	ReduceL2: "distinct",
	ReduceLogSum: "positive",
};

/** Over any axes, none listed, or none at all. */
const reduction = (op: string): fc.Arbitrary<RuleCase> =>
	dims(1, 4).chain((d) =>
		fc
			.tuple(fc.subarray(d.map((_, i) => i)), flag, fc.boolean(), flag, seed)
			.map(([axes, keepdims, negative, noop_with_empty_axes, s]) => ({
				op,
				inputs: axes.length === 0 ? [x(...d)] : [x(...d), ints(...axes.map((a) => (negative ? a - d.length : a)))],
				attributes: { keepdims, noop_with_empty_axes },
				sample: SAMPLES[op] ?? "normal",
				linear: op === "ReduceSum" || op === "ReduceMean",
				seed: s,
			})),
	);

/** With a factor 0 now and then. */
const reduceProd: fc.Arbitrary<RuleCase> = fc.tuple(reduction("ReduceProd"), fc.boolean()).map(([c, zero]) => {
	const [first, ...axes] = c.inputs;
	const shape = first && "dims" in first ? (first.dims ?? []) : [];
	const { uniform } = random("factors", c.seed ?? 0);
	const factors = Float32Array.from({ length: sizeOf(shape) }, () => (uniform() < 0.3 ? -1 : 1) * (0.6 + uniform()));
	if (zero) factors[0] = 0;
	return { ...c, inputs: [{ at: tensor(factors, shape) }, ...axes] };
});

const lrn: fc.Arbitrary<RuleCase> = fc
	.tuple(dims(3, 3), range(1, 7), fc.constantFrom(1, 3, 5), fc.boolean(), seed)
	.map(([[n, ...spatial], channels, size, defaults, s]) => ({
		op: "LRN",
		inputs: [x(n, channels, ...spatial)],
		attributes: { size, ...(defaults ? {} : { alpha: float(0.5), beta: float(0.6), bias: float(1.5) }) },
		seed: s,
	}));

const cumSum: fc.Arbitrary<RuleCase> = fc.tuple(dimsAndAxis(1, 4), flag, flag, seed).map(([[d, axis], exclusive, reverse, s]) => ({
	op: "CumSum",
	inputs: [x(...d), { ints: [axis], dims: [] }],
	attributes: { exclusive, reverse },
	linear: true,
	seed: s,
}));

/** Two values normalise to -1 and 1, whatever they are: the gradient is next to 0, and not to be measured. */
const wide = (min: number, max: number) => fc.array(range(3, 4), { minLength: min, maxLength: max });

const epsilon = fc.constantFrom(1e-5, 1e-3).map((v) => float(v));

/** Layers over the last axes, with a scale and perhaps a shift of their dims. */
const overLast = (op: string, opset: number, shifted: boolean): fc.Arbitrary<RuleCase> =>
	wide(1, 4).chain((d) =>
		fc.tuple(range(-d.length, d.length - 1), fc.boolean(), epsilon, seed).map(([axis, shift, eps, s]) => {
			const inner = d.slice(axis);
			const inputs = [x(...d), normals(inner, s), ...(shifted && shift ? [normals(inner, s + 1)] : [])];
			return { op, opset, inputs, attributes: { axis, epsilon: eps }, seed: s };
		}),
	);

const instanceNorm: fc.Arbitrary<RuleCase> = fc.tuple(wide(3, 4), epsilon, seed).map(([d, eps, s]) => ({
	op: "InstanceNormalization",
	inputs: [x(...d), normals([d[1]], s), normals([d[1]], s + 1)],
	attributes: { epsilon: eps },
	seed: s,
}));

const groupNorm: fc.Arbitrary<RuleCase> = fc
	.tuple(range(1, 2), range(1, 3), range(1, 3), wide(1, 2), fc.constantFrom(20, 21), epsilon, seed)
	.map(([n, num_groups, perGroup, spatial, opset, eps, s]) => {
		const parameters = [opset === 20 ? num_groups : num_groups * perGroup];
		return {
			op: "GroupNormalization",
			opset,
			inputs: [x(n, num_groups * perGroup, ...spatial), normals(parameters, s), normals(parameters, s + 1)],
			attributes: { num_groups, epsilon: eps },
			seed: s,
		};
	});

const batchNorm: fc.Arbitrary<RuleCase> = fc.tuple(dims(2, 5), epsilon, seed).map(([d, eps, s]) => ({
	op: "BatchNormalization",
	inputs: [x(...d), normals([d[1]], s), normals([d[1]], s + 1), normals([d[1]], s + 2), uniforms(0.5, 2, [d[1]], s + 3)],
	attributes: { epsilon: eps },
	linear: true,
	seed: s,
}));

export const reductions: RuleCases = {
	...each(
		["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceLogSum"],
		reduction,
	),
	ReduceProd: reduceProd,
	CumSum: cumSum,
	LRN: lrn,
	LayerNormalization: overLast("LayerNormalization", 20, true),
	RMSNormalization: overLast("RMSNormalization", 23, false),
	InstanceNormalization: instanceNorm,
	GroupNormalization: groupNorm,
	BatchNormalization: batchNorm,
	LpNormalization: fc.tuple(wide(1, 4), fc.nat(), seed).map(([d, a, s]) => ({
		op: "LpNormalization",
		inputs: [x(...d)],
		attributes: { axis: (a % (2 * d.length)) - d.length, p: 2 },
		seed: s,
	})),
};
