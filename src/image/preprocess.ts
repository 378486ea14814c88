/** @file What a model wants done to a picture, as an ONNX graph: differentiable, so that gradients reach the canvas. */
import { float, floatTensor, type GraphBuilder, graphBuilder } from "../onnx/builder.ts";
import type { Graph } from "../onnx/graph.ts";
import { letterbox } from "./canvas.ts";
import { compose, type Mapping, stretch } from "./geometry.ts";
import type { Filter } from "./resample.ts";
import type { Size } from "./rgb.ts";

/**
 * The size a picture is resized to:
 * - `height`, `width`: exactly that;
 * - `shortestEdge`: the shorter side becomes that long, the longer one at most `longestEdge`, both cut down to a multiple of `multipleOf`.
 */
export type ResizeTo = Size | { readonly shortestEdge: number; readonly longestEdge?: number; readonly multipleOf?: number };

/** Steps are applied in the order of the fields; what is left out does nothing. */
export interface Preprocessing {
	readonly resize?: { readonly to: ResizeTo; readonly filter: Filter };
	/** Centre crop; where the picture is smaller, the border is filled with black. */
	readonly crop?: Size;
	/** Fits the picture into a size without changing its aspect ratio; `fill` in [0, 1]. */
	readonly letterbox?: Size & { readonly filter: Filter; readonly fill: number; readonly align: "center" | "start" };
	readonly channels?: "rgb" | "bgr";
	/** Factor on pixels in [0, 1]: 255 for models that want 0..255. */
	readonly scale?: number;
	/** Subtracted from, and divided by, one number a channel, after `scale` and in the model's channel order. */
	readonly mean?: readonly number[];
	readonly std?: readonly number[];
}

export interface PreprocessingGraph {
	/** Input `canvas` `[N, 3, H, W]` in [0, 1], output `pixel_values` `[N, 3, h, w]`. */
	readonly graph: Graph;
	/** From the canvas's pixels to the model input's; `inverse` carries a detector's boxes back. */
	readonly mapping: Mapping;
}

export interface PreprocessingOptions {
	/** N, or the name of a symbolic dim. */
	batch?: number | string;
}

/** Names of the graph's input and output. */
export const CANVAS = "canvas";
export const PIXEL_VALUES = "pixel_values";

/**
 * The graph of `spec` for canvases of one size. Steps that change nothing leave no node.
 * Resizing is Pillow's (antialiased, rows first, clipped to [0, 1] after each pass) without its rounding to 8 bits.
 */
export function preprocessingGraph(spec: Preprocessing, canvas: Size, { batch = "batch" }: PreprocessingOptions = {}): PreprocessingGraph {
	const builder = graphBuilder({ name: "preprocessing" });
	const input = builder.input(CANVAS, "float", [batch, 3, canvas.height, canvas.width]);
	const { output, mapping } = appendPreprocessing(builder, input, spec, canvas);
	const named = builder.op("Identity", [output], {}, { name: PIXEL_VALUES });
	builder.output(named, "float", [batch, 3, mapping.to.height, mapping.to.width]);
	return { graph: builder.build(), mapping };
}

/** Adds the steps to a graph under construction; returns the name of the result, which is `input` itself if there is nothing to do. */
export function appendPreprocessing(
	builder: GraphBuilder,
	input: string,
	spec: Preprocessing,
	canvas: Size,
): { output: string; mapping: Mapping } {
	let value = input;
	let mapping = stretch(canvas, canvas);
	const move = (next: Mapping) => {
		mapping = compose(mapping, next);
	};
	if (spec.resize) {
		const to = resizedSize(mapping.to, spec.resize.to);
		value = resize(builder, value, mapping.to, to, spec.resize.filter);
		move(stretch(mapping.to, to));
	}
	if (spec.crop) {
		const place = centreCrop(mapping.to, spec.crop);
		value = crop(builder, value, place);
		move(place);
	}
	if (spec.letterbox) {
		const { height, width, filter, fill, align } = spec.letterbox;
		const { inner, top, left } = letterbox(mapping.to, { height, width }, align);
		value = resize(builder, value, mapping.to, inner, filter);
		value = pad(builder, value, [top, left, height - inner.height - top, width - inner.width - left], fill);
		move({ ...stretch(mapping.to, inner), to: { height, width }, offsetX: left, offsetY: top });
	}
	if (spec.channels === "bgr") {
		const planes = builder.ops("Split", [value, builder.ints([1, 1, 1])], 3, { axis: 1 });
		value = builder.op("Concat", [planes[2], planes[1], planes[0]], { axis: 1 });
	}
	const { scale = 1, mean, std } = spec;
	if (scale !== 1) value = builder.op("Mul", [value, builder.scalar(scale)]);
	if (mean?.some((m) => m !== 0)) value = builder.op("Sub", [value, builder.constant(floatTensor(mean, [1, 3, 1, 1]))]);
	if (std?.some((s) => s !== 1)) value = builder.op("Div", [value, builder.constant(floatTensor(std, [1, 3, 1, 1]))]);
	return { output: value, mapping };
}

/** Size of the model's input for canvases of this size. */
export const modelInputSize = (spec: Preprocessing, canvas: Size): Size => preprocessingGraph(spec, canvas).mapping.to;

/** Sides are truncated to whole pixels, as the image processors of transformers do. */
export function resizedSize({ height, width }: Size, to: ResizeTo): Size {
	if ("height" in to) return to;
	const short = Math.min(height, width);
	const long = Math.max(height, width);
	const { shortestEdge, longestEdge, multipleOf = 1 } = to;
	const limited = longestEdge !== undefined && (long / short) * shortestEdge > longestEdge;
	const exact = limited ? (longestEdge * short) / long : shortestEdge;
	const newShort = limited ? roundHalfEven(exact) : shortestEdge;
	const newLong = Math.trunc((exact * long) / short);
	const cut = (side: number) => side - (side % multipleOf);
	return height < width ? { height: cut(newShort), width: cut(newLong) } : { height: cut(newLong), width: cut(newShort) };
}

/** Python's `round`. */
function roundHalfEven(value: number): number {
	const rounded = Math.round(value);
	return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

function centreCrop(from: Size, to: Size): Mapping {
	// With an odd margin the spare pixel lies below and to the right when cutting, above and to the left when filling.
	const offset = (have: number, want: number) => (have >= want ? -Math.floor((have - want) / 2) : Math.ceil((want - have) / 2));
	return { from, to, scaleX: 1, scaleY: 1, offsetX: offset(from.width, to.width), offsetY: offset(from.height, to.height) };
}

function resize(builder: GraphBuilder, value: string, from: Size, to: Size, filter: Filter): string {
	const attributes = {
		mode: filter === "bilinear" ? "linear" : "cubic",
		antialias: 1,
		exclude_outside: 1,
		coordinate_transformation_mode: "half_pixel",
		...(filter === "bicubic" ? { cubic_coeff_a: float(-0.5) } : {}),
	};
	const along = (current: string, axis: number, size: number) => {
		const resized = builder.op("Resize", [current, "", "", builder.ints([size])], { ...attributes, axes: [axis] });
		return filter === "bicubic" ? builder.op("Clip", [resized, builder.scalar(0), builder.scalar(1)]) : resized;
	};
	let result = value;
	if (to.width !== from.width) result = along(result, 3, to.width);
	if (to.height !== from.height) result = along(result, 2, to.height);
	return result;
}

function crop(builder: GraphBuilder, value: string, { from, to, offsetX, offsetY }: Mapping): string {
	const top = Math.max(0, -offsetY);
	const left = Math.max(0, -offsetX);
	const bottom = Math.min(from.height, to.height - offsetY);
	const right = Math.min(from.width, to.width - offsetX);
	let result = value;
	if (bottom - top !== from.height || right - left !== from.width) {
		const ints = builder.ints;
		result = builder.op("Slice", [result, ints([top, left]), ints([bottom, right]), ints([2, 3])]);
	}
	const above = Math.max(0, offsetY);
	const before = Math.max(0, offsetX);
	return pad(builder, result, [above, before, to.height - above - (bottom - top), to.width - before - (right - left)], 0);
}

function pad(
	builder: GraphBuilder,
	value: string,
	[top, left, bottom, right]: readonly [number, number, number, number],
	fill: number,
): string {
	if (top + left + bottom + right === 0) return value;
	return builder.op("Pad", [value, builder.ints([0, 0, top, left, 0, 0, bottom, right]), builder.scalar(fill)], { mode: "constant" });
}
