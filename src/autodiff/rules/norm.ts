/** @file Normalisation layers at inference. */
import { sizeOf } from "../../tensor/tensor.ts";
import type { Emit, Value } from "../emit.ts";
import { axisOf, type RuleContext, type RuleFamily, type Vjp } from "../rule.ts";

/** With xhat = (x - mean) r and g = d xhat: dx = r (g - mean(g) - xhat mean(g xhat)), means over `axes`. */
function centred(e: Emit, g: Value, xhat: Value, r: Value, axes: readonly number[]): Value {
	const inner = e.mul(xhat, e.reduce("ReduceMean", e.mul(g, xhat), axes));
	return e.mul(e.sub(e.sub(g, e.reduce("ReduceMean", g, axes)), inner), r);
}

/** xhat and r = 1 / sqrt(var + epsilon), computed again from x. */
function standardise(c: RuleContext, x: Value, axes: readonly number[]): { xhat: Value; r: Value } {
	const { e } = c;
	const from = e.sub(x, e.reduce("ReduceMean", x, axes));
	const variance = e.reduce("ReduceMean", e.mul(from, from), axes);
	const r = e.unary("Reciprocal", e.unary("Sqrt", e.add(variance, c.float("epsilon", 1e-5))));
	return { xhat: e.mul(from, r), r };
}

const noParameters = (c: RuleContext) => {
	if (c.needs(1) || c.needs(2)) throw c.unsupported("the gradient of its scale or bias", "differentiate with respect to the input instead");
};

/** [C] -> [C, 1, ...] so that it broadcasts over [N, C, ...]. */
const perChannel = (e: Emit, v: Value, rank: number) => e.reshape(v, [v.dims[0], ...Array.from({ length: rank - 2 }, () => 1)]);

const layerNorm: Vjp = (c, dy) => {
	noParameters(c);
	const { e } = c;
	const x = c.x();
	const first = axisOf(c.int("axis", -1), x.dims.length);
	const axes = x.dims.map((_, i) => i).slice(first);
	const g = e.mul(dy, c.x(1));
	if (x.type !== "float") {
		const { xhat, r } = standardise(c, x, axes);
		return [centred(e, g, xhat, r, axes)];
	}
	// ONNX Runtime returns the statistics it computed as optional outputs.
	const dims = x.dims.map((d, i) => (i < first ? d : 1));
	const mean = c.extra(1, { type: "float", dims });
	const r = c.extra(2, { type: "float", dims });
	return [centred(e, g, e.mul(e.sub(x, mean), r), r, axes)];
};

const instanceNorm: Vjp = (c, dy) => {
	noParameters(c);
	const { e } = c;
	const x = c.x();
	const axes = x.dims.map((_, i) => i).slice(2);
	const { xhat, r } = standardise(c, x, axes);
	return [centred(e, e.mul(dy, perChannel(e, c.x(1), x.dims.length)), xhat, r, axes)];
};

const groupNorm: Vjp = (c, dy) => {
	noParameters(c);
	const { e } = c;
	const x = c.x();
	const groups = c.int("num_groups", 1);
	const grouped = [x.dims[0], groups, sizeOf(x.dims.slice(1)) / groups];
	const scale = c.x(1);
	// Opset 18 has one scale a group, 21 one a channel.
	const g =
		c.opset >= 21
			? e.reshape(e.mul(dy, perChannel(e, scale, x.dims.length)), grouped)
			: e.mul(e.reshape(dy, grouped), e.reshape(scale, [groups, 1]));
	const { xhat, r } = standardise(c, e.reshape(x, grouped), [2]);
	return [e.reshape(centred(e, g, xhat, r, [2]), x.dims)];
};

/** dx = dy scale / sqrt(var + epsilon) */
const batchNorm: Vjp = (c, dy) => {
	noParameters(c);
	if (c.needs(3) || c.needs(4)) throw c.unsupported("the gradient of its statistics", "differentiate with respect to the input instead");
	if (c.int("training_mode", 0) !== 0) throw c.unsupported("training mode", "export the model in evaluation mode");
	const { e } = c;
	const factor = e.div(c.x(1), e.unary("Sqrt", e.add(c.x(4), c.float("epsilon", 1e-5))));
	return [e.mul(dy, perChannel(e, factor, dy.dims.length))];
};

/** y = x r scale with r = 1 / sqrt(mean(x^2) + epsilon): dx = r (g - xhat mean(g xhat)) */
const rmsNorm: Vjp = (c, dy) => {
	noParameters(c);
	const { e } = c;
	const x = c.x();
	const axes = x.dims.map((_, i) => i).slice(axisOf(c.int("axis", -1), x.dims.length));
	const r = e.unary("Reciprocal", e.unary("Sqrt", e.add(e.reduce("ReduceMean", e.mul(x, x), axes), c.float("epsilon", 1e-5))));
	const xhat = e.mul(x, r);
	const g = e.mul(dy, c.x(1));
	return [e.mul(e.sub(g, e.mul(xhat, e.reduce("ReduceMean", e.mul(g, xhat), axes))), r)];
};

/** (sum |x|^p)^(1/p): only p = 2 is met in vision models. */
const lpNormalization: Vjp = (c, dy) => {
	const { e, y } = c;
	const x = c.x();
	if (c.int("p", 2) !== 2) throw c.unsupported("p = 1", "write it with Abs, ReduceSum and Div");
	const axes = [axisOf(c.int("axis", -1), x.dims.length)];
	const norm = e.reduce("ReduceL2", x, axes);
	// dx = (dy - y sum(dy y)) / |x|
	return [e.div(e.sub(dy, e.mul(y, e.reduce("ReduceSum", e.mul(dy, y), axes))), norm)];
};

export const norm = {
	LayerNormalization: { vjp: layerNorm },
	InstanceNormalization: { vjp: instanceNorm },
	GroupNormalization: { vjp: groupNorm },
	BatchNormalization: { vjp: batchNorm },
	LpNormalization: { vjp: lpNormalization },
	RMSNormalization: { vjp: rmsNorm },
} satisfies RuleFamily;
