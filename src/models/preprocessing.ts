/** @file Puts a model's preprocessing in front of its graph, so that the graph starts at the canvas. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import type { Mapping } from "../image/geometry.ts";
import { appendPreprocessing, type Preprocessing } from "../image/preprocess.ts";
import { compose, type Graph, graphBuilder, upgrade } from "../onnx/index.ts";

const side = z.int().positive();
const size = z.strictObject({ height: side, width: side });
const filter = z.enum(["bilinear", "bicubic"]);
const perChannel = z.array(z.number()).length(3);

/** `Preprocessing` as it is written in experiment files. */
export const preprocessingSchema = z.strictObject({
	resize: z
		.strictObject({
			to: z.union([size, z.strictObject({ shortestEdge: side, longestEdge: side.exactOptional(), multipleOf: side.exactOptional() })]),
			filter: filter.default("bicubic"),
		})
		.exactOptional(),
	crop: size.exactOptional(),
	letterbox: z
		.strictObject({
			...size.shape,
			filter: filter.default("bilinear"),
			fill: z
				.number()
				.min(0)
				.max(1)
				.default(114 / 255),
			align: z.enum(["center", "start"]).default("center"),
		})
		.exactOptional(),
	channels: z.enum(["rgb", "bgr"]).exactOptional(),
	scale: z.number().exactOptional(),
	mean: perChannel.exactOptional(),
	std: perChannel.exactOptional(),
});

/** Name of the input of every graph that starts at the canvas: `[batch, 3, H, W]`, pixels in [0, 1]. */
export const CANVAS = "kintsugi/canvas";
const PIXELS = "kintsugi/pixels";

export interface CanvasGraph {
	/** Input `CANVAS`, outputs of the model. */
	graph: Graph;
	/** From canvas pixels to pixels of the model's input. */
	mapping: Mapping;
	/** Images a run: the model's own number where it is fixed. */
	batch: number;
}

export interface CanvasGraphOptions {
	preprocessing: Preprocessing;
	canvas: { readonly height: number; readonly width: number };
	/** Images a run, if the model accepts any number. */
	batch: number;
}

/** The model's graph (upgraded to opset 18 or newer) behind its preprocessing. Throws `model` if it has no single image input. */
export function fromCanvas(model: Graph, { preprocessing, canvas, batch: wanted }: CanvasGraphOptions): CanvasGraph {
	const network = upgrade(model);
	const images = network.inputs.filter((v) => v.type === "float" && v.dims.length === 4);
	const [input] = images;
	if (images.length !== 1 || network.inputs.length !== 1) {
		throw new KintsugiError("model", {
			where: `inputs of the graph '${model.name}'`,
			expected: "one float image [batch, 3, height, width]",
			found: network.inputs.map((v) => `${v.name}: ${v.type} [${v.dims.join(", ")}]`).join("; ") || "none",
			fix: "export the image model alone",
		});
	}
	const batch = typeof input.dims[0] === "number" ? input.dims[0] : wanted;
	const builder = graphBuilder({ name: "preprocessing", opset: network.opset });
	builder.input(CANVAS, "float", [batch, 3, canvas.height, canvas.width]);
	const { output, mapping } = appendPreprocessing(builder, CANVAS, preprocessing, canvas);
	const { height, width } = mapping.to;
	const pixels = builder.op("Identity", [output], {}, { name: PIXELS });
	builder.output(pixels, "float", [batch, 3, height, width]);
	const fits = [3, height, width].every((d, i) => typeof input.dims[i + 1] === "string" || input.dims[i + 1] === d);
	if (!fits) {
		throw new KintsugiError("config", {
			where: `preprocessing of the graph '${model.name}'`,
			expected: `an input [${input.dims.join(", ")}]`,
			found: `[${batch}, 3, ${height}, ${width}] from a ${canvas.width} x ${canvas.height} canvas`,
			fix: "add a resize, crop or letterbox to the preprocessing, or choose another canvas",
		});
	}
	return { graph: compose(builder.build(), network, { connect: { [pixels]: input.name }, prefix: "kintsugi/pre/" }), mapping, batch };
}
