/** @file GridSample, with respect to the image and to the places where it is sampled. */
import { floatTensor, int64Tensor } from "../../onnx/builder.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { scatterRows } from "../adjoint.ts";
import type { Emit, Value } from "../emit.ts";
import type { RuleContext, RuleFamily, Vjp } from "../rule.ts";

/** Taps around floor(x) (nearest: around the rounded x); `weights[k]` are their coefficients of f^k, f = x - floor(x). */
interface Kernel {
	offsets: readonly number[];
	weights: readonly (readonly number[])[];
}

/** Keys' parameter of cubic convolution; the standard fixes it. */
const A = -0.75;

const NEAREST: Kernel = { offsets: [0], weights: [[1]] };
const LINEAR: Kernel = {
	offsets: [0, 1],
	weights: [
		[1, 0],
		[-1, 1],
	],
};
const CUBIC: Kernel = {
	offsets: [-1, 0, 1, 2],
	weights: [
		[0, 1, 0, 0],
		[A, 0, -A, 0],
		[-2 * A, -A - 3, 2 * A + 3, A],
		[A, A + 2, -A - 2, -A],
	],
};

// Opset 20 renamed the first and the last of these.
const KERNELS: Readonly<Record<string, Kernel>> = { bilinear: LINEAR, linear: LINEAR, nearest: NEAREST, cubic: CUBIC, bicubic: CUBIC };

/** One spatial axis: pixel, weight and slope (d weight / d x) of each tap, all [N, P, taps]; P places are sampled. */
interface Taps {
	pixel: Value;
	weight: Value;
	/** Undefined where no gradient passes to the place. */
	slope: Value | undefined;
}

/** sum_k c[k] f^k by Horner's scheme: f is [..., 1], each c[k] has one coefficient a tap. */
function polynomial(e: Emit, coefficients: readonly (readonly number[])[], f: Value): Value {
	const row = (values: readonly number[]) => e.cast(e.constant(floatTensor(values, [values.length])), f.type);
	return coefficients.slice(0, -1).reduceRight<Value>((sum, c) => e.add(e.mul(sum, f), row(c)), row(coefficients[coefficients.length - 1]));
}

/** The pixel that each tap reads, and whether it reads one at all (padding "zeros"). Padding acts on whole pixels. */
function padded(c: RuleContext, at: Value, size: number): { pixel: Value; inside?: Value } {
	const { e } = c;
	const clipped = (v: Value) => e.cast(e.op("Clip", [v, e.scalar(0, v.type), e.scalar(size - 1, v.type)], v.dims), "int64");
	const mode = c.text("padding_mode", "zeros");
	if (mode === "border") return { pixel: clipped(at) };
	if (mode === "reflection") return { pixel: clipped(reflected(c, at, size)) };
	const inside = e.binary("And", e.binary("GreaterOrEqual", at, 0, "bool"), e.binary("LessOrEqual", at, size - 1, "bool"));
	return { pixel: clipped(at), inside: e.cast(inside, at.type) };
}

/** Mirrors at the centres of the border pixels if corners are aligned, at their outer edges if not. */
function reflected(c: RuleContext, at: Value, size: number): Value {
	const { e } = c;
	const aligned = c.int("align_corners", 0) === 1;
	const low = aligned ? 0 : -0.5;
	const span = aligned ? size - 1 : size;
	if (span === 0) return e.mul(at, 0);
	const around = e.op("Mod", [e.unary("Abs", e.sub(at, low)), e.scalar(2 * span, at.type)], at.dims, { attributes: { fmod: 1 } });
	return e.sub(span + low, e.unary("Abs", e.sub(around, span)));
}

/** Taps of one axis; `g` [N, P, 1] is in [-1, 1] within the image. */
function tapsOf(c: RuleContext, { offsets, weights }: Kernel, g: Value, size: number): Taps {
	const { e } = c;
	const shifted = e.add(g, 1);
	// In the order of ONNX Runtime, so that floor(x) is the same pixel.
	const x = c.int("align_corners", 0) === 1 ? e.mul(e.div(shifted, 2), size - 1) : e.div(e.sub(e.mul(shifted, size), 1), 2);
	const base = e.unary(offsets.length === 1 ? "Round" : "Floor", x);
	const at = e.add(base, e.cast(e.constant(floatTensor(offsets, [offsets.length])), g.type));
	const { pixel, inside } = padded(c, at, size);
	const f = e.sub(x, base);
	const derivative = weights.slice(1).map((row, k) => row.map((v) => v * (k + 1)));
	const counted = (w: Value) => (inside ? e.mul(w, inside) : e.expand(w, at.dims));
	return {
		pixel,
		weight: counted(polynomial(e, weights, f)),
		slope: derivative.length > 0 ? counted(polynomial(e, derivative, f)) : undefined,
	};
}

/**
 * y = sum over taps of w_1(x_1) w_2(x_2) X[tap], one factor a spatial axis. dX adds w dy to the pixels read; dx_1 is
 * w_1'(x_1) w_2(x_2) <X[tap], dy>, summed over taps. Values are [N, P, taps of axis 1, taps of axis 2, (C)].
 */
const gridSample: Vjp = (c, dy) => {
	const { e } = c;
	const [image, grid] = [c.x(0), c.x(1)];
	const mode = c.text("mode", "linear");
	const kernel = KERNELS[mode];
	if (!kernel) throw c.unsupported(`mode "${mode}"`, "use linear, nearest or cubic sampling");
	const [n, channels, ...spatial] = image.dims;
	const rank = spatial.length;
	const places = sizeOf(grid.dims.slice(1, -1));
	const pixels = sizeOf(spatial);
	const components = e.reshape(grid, [n, places, rank]);
	// The grid's last axis is (x, y, ...): width first.
	const axes = spatial.map((size, i) => tapsOf(c, kernel, e.slice(components, [rank - 1 - i], [rank - i], [2]), size));
	const across = (v: Value, axis: number) => e.reshape(v, [n, places, ...spatial.map((_, i) => (i === axis ? kernel.offsets.length : 1))]);
	const product = (values: readonly Value[]) => values.map(across).reduce((a, b) => e.mul(a, b));

	const ones = spatial.map(() => 1);
	const starts = Array.from({ length: n }, (_, i) => i * pixels);
	const rows = axes.reduce<Value>(
		(sum, { pixel }, i) => e.add(sum, e.mul(across(pixel, i), sizeOf(spatial.slice(i + 1)))),
		e.constant(int64Tensor(starts, [n, 1, ...ones])),
	);
	const perm = [0, ...spatial.map((_, i) => i + 2), 1];
	const channelsLast = (v: Value) => e.transpose(v, perm);
	const u = e.reshape(channelsLast(dy), [n, places, ...ones, channels]);

	const dImage = () => {
		const weight = e.cast(product(axes.map((t) => t.weight)), dy.type);
		const updates = e.mul(u, e.reshape(weight, [...weight.dims, 1]));
		const flat = [sizeOf(rows.dims), channels];
		const sums = scatterRows(e, e.reshape(rows, flat.slice(0, 1)), e.reshape(updates, flat), n * pixels);
		return e.transpose(e.reshape(sums, [n, ...spatial, channels]), [0, rank + 1, ...spatial.map((_, i) => i + 1)]);
	};
	const dGrid = () => {
		const read = e.op("Gather", [e.reshape(channelsLast(image), [n * pixels, channels]), rows], [...rows.dims, channels]);
		const inner = e.cast(e.reshape(e.reduce("ReduceSum", e.mul(read, u), [rank + 2]), rows.dims), grid.type);
		const perAxis = axes.map(({ slope, weight }, axis) => {
			const factors = axes.map((t, i) => (i === axis ? (slope ?? weight) : t.weight));
			const sum = e.reduce(
				"ReduceSum",
				e.mul(inner, product(factors)),
				spatial.map((_, i) => i + 2),
			);
			const scale = (c.int("align_corners", 0) === 1 ? spatial[axis] - 1 : spatial[axis]) / 2;
			return e.mul(e.reshape(sum, [n, places, 1]), scale);
		});
		return e.reshape(e.concat(perAxis.reverse(), 2), grid.dims);
	};
	const smooth = axes.every((t) => t.slope);
	const still = () => e.full(0, dy.type, grid.dims);
	return [c.needs(0) ? dImage() : undefined, c.needs(1) ? (smooth ? dGrid() : still()) : undefined];
};

export const gridSampling = { GridSample: { vjp: gridSample } } satisfies RuleFamily;
