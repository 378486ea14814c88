/** @file Cases of convolutions, pooling and what else looks at a neighbourhood. */
import fc from "fast-check";
import { float } from "../../../src/onnx/index.ts";
import { floats, ints, type RuleCase, x } from "../check-rule.ts";
import { dims, each, flag, normals, type RuleCases, range, seed, uniforms } from "./arbitraries.ts";

interface Window {
	kernel: number[];
	strides: number[];
	dilations: number[];
	pads: number[];
	/** Input dims, large enough for the window. */
	size: number[];
}

const window = (maxRank: number): fc.Arbitrary<Window> =>
	range(1, maxRank).chain((rank) => {
		const list = (min: number, max: number, n = rank) => fc.array(range(min, max), { minLength: n, maxLength: n });
		return fc
			.record({ kernel: list(1, 3), strides: list(1, 3), dilations: list(1, 2), pads: list(0, 2, 2 * rank), more: list(0, 4) })
			.map(({ more, ...w }) => ({ ...w, size: w.kernel.map((k, i) => w.dilations[i] * (k - 1) + 1 + more[i]) }));
	});

const channels = fc.record({
	batch: range(1, 2),
	group: fc.constantFrom(1, 1, 2, 3),
	perGroup: range(1, 2),
	filters: range(1, 2),
	bias: fc.boolean(),
});

const AUTO_PADS = ["SAME_UPPER", "SAME_LOWER", "VALID"];

const conv: fc.Arbitrary<RuleCase> = fc
	.tuple(window(3), channels, fc.constantFrom("NOTSET", "NOTSET", ...AUTO_PADS), seed)
	.map(([{ kernel, strides, dilations, pads, size }, { batch, group, perGroup, filters, bias }, auto_pad, s]) => {
		// ONNX Runtime has no SAME padding of dilated windows.
		const same = auto_pad.startsWith("SAME");
		const weights = [group * filters, perGroup, ...kernel];
		return {
			op: "Conv",
			inputs: [
				x(batch, group * perGroup, ...size),
				group === 1 ? x(...weights) : normals(weights, s),
				...(bias ? [x(group * filters)] : []),
			],
			attributes: {
				group,
				strides,
				dilations: same ? kernel.map(() => 1) : dilations,
				kernel_shape: kernel,
				...(auto_pad === "NOTSET" ? { pads } : { auto_pad }),
			},
			linear: true,
			seed: s,
		};
	});

const convTranspose: fc.Arbitrary<RuleCase> = fc
	.tuple(window(2), channels, fc.array(fc.nat(2), { minLength: 2, maxLength: 2 }), seed)
	.map(([{ kernel, strides, dilations, pads, size }, { batch, group, perGroup, filters, bias }, extra, s]) => {
		const reach = size.map((n, i) => (n - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1);
		// Something must be left of the output.
		const cut = pads.map((p, i) => Math.min(p, Math.floor((reach[i % kernel.length] - 1) / 2)));
		return {
			op: "ConvTranspose",
			inputs: [
				x(batch, group * perGroup, ...size),
				normals([group * perGroup, filters, ...kernel], s),
				...(bias ? [x(group * filters)] : []),
			],
			attributes: { group, strides, dilations, pads: cut, output_padding: strides.map((n, i) => Math.min(extra[i], n - 1)) },
			linear: true,
			seed: s,
		};
	});

/** With ceil_mode the last window of an axis must start within the input or the padding in front: of others ONNX Runtime is not sure. */
const startsInside = ({ kernel, strides, dilations, pads, size }: Window): boolean =>
	size.every((n, i) => {
		const room = n + pads[i] + pads[i + kernel.length] - (dilations[i] * (kernel[i] - 1) + 1);
		return Math.ceil(room / strides[i]) * strides[i] < n + pads[i];
	});

/** ONNX Runtime refuses padding that is not smaller than the kernel. */
const poolWindow = (maxRank: number): fc.Arbitrary<Window> =>
	window(maxRank).map((w) => ({ ...w, pads: w.pads.map((p, i) => Math.min(p, w.kernel[i % w.kernel.length] - 1)) }));

const pooled = (op: string, more: fc.Arbitrary<RuleCase["attributes"]>): fc.Arbitrary<RuleCase> =>
	fc.tuple(poolWindow(3), range(1, 2), range(1, 2), flag, more, seed).map(([w, batch, c, ceil, attributes, s]) => ({
		op,
		inputs: [x(batch, c, ...w.size)],
		attributes: {
			kernel_shape: w.kernel,
			strides: w.strides,
			dilations: w.dilations,
			pads: w.pads,
			ceil_mode: ceil === 1 && startsInside(w) ? 1 : 0,
			...attributes,
		},
		sample: "distinct",
		linear: op === "AveragePool",
		seed: s,
	}));

const globalPool = (op: string): fc.Arbitrary<RuleCase> =>
	fc.tuple(dims(3, 5), seed).map(([d, s]) => ({ op, inputs: [x(...d)], sample: "distinct", linear: op === "GlobalAveragePool", seed: s }));

const COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"];

const resizeMode = fc.oneof(
	fc
		.tuple(fc.constantFrom(...COORDINATES), flag)
		.map(([coordinate_transformation_mode, antialias]) => ({ mode: "linear", coordinate_transformation_mode, antialias })),
	fc
		.tuple(fc.constantFrom(...COORDINATES), flag, flag, fc.constantFrom(-0.5, -0.75))
		.map(([coordinate_transformation_mode, antialias, exclude_outside, a]) => ({
			mode: "cubic",
			coordinate_transformation_mode,
			antialias,
			exclude_outside,
			cubic_coeff_a: float(a),
		})),
	fc
		.tuple(fc.constantFrom(...COORDINATES), fc.constantFrom("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
		.map(([coordinate_transformation_mode, nearest_mode]) => ({ mode: "nearest", coordinate_transformation_mode, nearest_mode })),
);

/** Exact in float32, so that a scaled dim is the same in every arithmetic. */
const eighths = range(4, 20).map((n) => n / 8);

const resize: fc.Arbitrary<RuleCase> = fc
	.tuple(range(2, 7), range(2, 7), range(1, 9), range(1, 9), eighths, eighths, fc.constantFrom("sizes", "scales", "axes"), resizeMode, seed)
	.map(([h, w, rows, columns, a, b, kind, attributes, s]) => {
		const target = {
			sizes: [undefined, undefined, ints(1, 2, rows, columns)],
			scales: [undefined, floats([1, 1, a, b])],
			axes: [undefined, undefined, ints(rows, columns)],
		};
		return {
			op: "Resize",
			inputs: [x(1, 2, h, w), ...target[kind as keyof typeof target]],
			attributes: { ...attributes, ...(kind === "axes" ? { axes: [2, 3] } : {}) },
			linear: true,
			seed: s,
		};
	});

/** With respect to the image; the places have kinks, and tests of their own. */
const gridSample: fc.Arbitrary<RuleCase> = fc
	.tuple(
		dims(2, 3, 5),
		dims(2, 3),
		fc.constantFrom("linear", "nearest", "cubic"),
		fc.constantFrom("zeros", "border", "reflection"),
		flag,
		seed,
	)
	.map(([image, out, mode, padding_mode, align_corners, s]) => {
		const spatial = mode === "cubic" ? image.slice(0, 2) : image;
		const places = Array.from(spatial, (_, i) => out[i] ?? 2);
		return {
			op: "GridSample",
			inputs: [x(2, 2, ...spatial), uniforms(-1.4, 1.4, [2, ...places, spatial.length], s)],
			attributes: { mode, padding_mode, align_corners },
			linear: true,
			seed: s,
		};
	});

export const windows: RuleCases = {
	Conv: conv,
	ConvTranspose: convTranspose,
	MaxPool: pooled("MaxPool", fc.constant({})),
	AveragePool: pooled(
		"AveragePool",
		flag.map((count_include_pad) => ({ count_include_pad })),
	),
	...each(["GlobalAveragePool", "GlobalMaxPool"], globalPool),
	Resize: resize,
	GridSample: gridSample,
};
