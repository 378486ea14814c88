/** @file Resize, in every mode, without a single coordinate formula. */
import { floatTensor } from "../../onnx/builder.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { alongAxis } from "../adjoint.ts";
import type { Value } from "../emit.ts";
import { axisOf, MAX_TABLE, type RuleContext, type RuleFamily, type Vjp } from "../rule.ts";

/**
 * Resize is linear and separable: out = R_h x R_w^T. The same Resize applied to the identity along one axis yields that axis' matrix
 * (ONNX Runtime folds it when the graph is opened), and the adjoint multiplies by its transpose.
 */
const resizeVjp: Vjp = (c, dy) => {
	const { e } = c;
	const x = c.x();
	const crops = c.text("coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize";
	const roi = crops ? c.known(1, "regions") : undefined;
	const listed = c.ints("axes")?.map((a) => axisOf(a, x.dims.length)) ?? x.dims.map((_, i) => i);
	const scales = c.inputs[2] && sizeOf(c.inputs[2].dims) > 0 ? c.known(2, "scales") : undefined;
	// One scale for all axes, which their rounded dims do not tell.
	const policy = c.text("keep_aspect_ratio_policy", "stretch");
	const uneven = listed.some((axis) => dy.dims[axis] * x.dims[listed[0]] !== dy.dims[listed[0]] * x.dims[axis]);
	if (policy !== "stretch" && !scales && uneven)
		throw c.unsupported(`keep_aspect_ratio_policy "${policy}"`, "stretch to the sizes that it results in");
	// ONNX Runtime copies where no dim changes, whatever the scales.
	if (!roi && x.dims.every((size, axis) => size === dy.dims[axis])) return [dy];
	return [
		x.dims.reduce<Value>((value, size, axis) => {
			const made = dy.dims[axis];
			const at = listed.indexOf(axis);
			if (at < 0) return value;
			const scale = scales?.[at];
			// The kernel multiplies in float32, the shape inference in float64: 5 x 1.4 is 7 or 6.
			if (!roi && scale !== undefined && Math.floor(Math.fround(size * scale)) !== made)
				throw c.unsupported(
					`the scale ${scale} of ${size}, of which ONNX Runtime makes two sizes`,
					"export it with sizes instead of scales",
				);
			const crop = roi && { start: roi[at], end: roi[at + listed.length] };
			const whole = !crop || (crop.start === 0 && crop.end === 1);
			if (whole && made === size && (scale ?? 1) === 1) return value;
			const factor = made / size;
			if (repeats(c) && Number.isInteger(factor) && (scale ?? factor) === factor) return sumRuns(c, value, axis, size, factor);
			return alongAxis(e, value, axis, probe(c, { size, made, scale, crop }));
		}, dy),
	];
};

/** True if an integer enlargement repeats each element: the usual nearest-neighbour upsampling. */
function repeats(c: RuleContext): boolean {
	const transformation = c.text("coordinate_transformation_mode", "half_pixel");
	const rounding = c.text("nearest_mode", "round_prefer_floor");
	const usual =
		(transformation === "asymmetric" && rounding === "floor") || (transformation === "half_pixel" && rounding.startsWith("round_prefer"));
	return c.text("mode", "nearest") === "nearest" && usual;
}

function sumRuns({ e }: RuleContext, x: Value, axis: number, size: number, factor: number): Value {
	const split = [...x.dims.slice(0, axis), size, factor, ...x.dims.slice(axis + 1)];
	const summed = e.reduce("ReduceSum", e.reshape(x, split), [axis + 1]);
	return e.reshape(
		summed,
		x.dims.map((d, i) => (i === axis ? size : d)),
	);
}

interface Axis {
	size: number;
	made: number;
	scale: number | undefined;
	/** Region of tf_crop_and_resize, in parts of the axis. */
	crop: { start: number; end: number } | undefined;
}

/** R^T [size, made]: row i is the response to a unit at position i. */
function probe(c: RuleContext, { size, made, scale, crop }: Axis): Value {
	const { e } = c;
	if (size * Math.max(size, made) > MAX_TABLE) throw c.unsupported(`an axis of ${size} resized to ${made}`, "resize smaller images");
	const identity = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
	// What is extrapolated is a constant: nothing of the input is in it.
	const { axes: _axes, keep_aspect_ratio_policy: _policy, extrapolation_value: _value, ...attributes } = c.node.attributes;
	const roi = crop && e.constant(floatTensor([0, 0, crop.start, 0, 1, 1, crop.end, 1], [8]));
	const inputs: (Value | undefined)[] = [e.cast(e.constant(floatTensor(identity, [1, size, size, 1])), c.x().type), roi];
	// A second column of the same values, so that a scale that leaves the size is not taken for a copy.
	const columns = made === size ? 2 : 1;
	if (scale === undefined) inputs.push(undefined, e.ints([1, size, made, columns]));
	else inputs.push(e.constant(floatTensor([1, 1, scale, columns], [4])));
	const rows = e.op("Resize", inputs, [1, size, made, columns], { attributes });
	return e.reshape(e.slice(rows, [0], [1], [3]), [size, made]);
}

export const resize = { Resize: { vjp: resizeVjp, stop: [1, 2, 3] } } satisfies RuleFamily;
