import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkVjp, vjp } from "../autodiff/index.ts";
import { freeze } from "../onnx/index.ts";
import { openSession, shapeRuntime } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { toCanvas } from "./canvas.ts";
import { inverse, mapBox } from "./geometry.ts";
import { CANVAS, modelInputSize, PIXEL_VALUES, type Preprocessing, preprocessingGraph, resizedSize } from "./preprocess.ts";
import { preprocessingFromConfig } from "./preprocessing-config.ts";
import { fromRgb, toRgb } from "./rgb.ts";

interface Golden {
	config: Record<string, unknown>;
	from: [number, number];
	source: string;
	dims: number[];
	values: string;
}
const golden: { processors: Golden[] } = JSON.parse(readFileSync(new URL("../../test/golden/preprocess.json", import.meta.url), "utf8"));

async function apply(spec: Preprocessing, image: Tensor): Promise<Tensor> {
	const [, height, width] = image.dims;
	const session = await openSession(preprocessingGraph(spec, { height, width }, { batch: 1 }).graph);
	const { [PIXEL_VALUES]: out } = await session.run({ [CANVAS]: tensor(image.data, [1, ...image.dims]) });
	await session.close();
	return out as Tensor;
}
const operators = (spec: Preprocessing, height: number, width: number) =>
	preprocessingGraph(spec, { height, width }).graph.nodes.map((n) => n.op);

describe("parity with transformers and Pillow", () => {
	it.each(golden.processors.map((g) => [g.config.image_processor_type, g.from, g.dims, g] as const))(
		"%s %j -> %j",
		async (_, [height, width], dims, g) => {
			const spec = preprocessingFromConfig(g.config);
			const source = fromRgb({ width, height, data: new Uint8Array(Buffer.from(g.source, "base64")) });
			const found = await apply(spec, source);
			expect(found.dims).toEqual([1, ...dims]);
			const raw = Buffer.from(g.values, "base64");
			const expected = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));

			// Pillow rounds to 8 bits after each of its two passes: half a step once, and half a step times the second pass's
			// absolute weights (1 for bilinear, at most 1.25 for bicubic). Where nothing is resized the values must agree.
			const resized = operators(spec, height, width).includes("Resize");
			const steps = resized ? 1.2 : 1e-4;
			let worst = 0;
			let sum = 0;
			const plane = dims[1] * dims[2];
			for (const [i, v] of expected.entries()) {
				const step = (spec.scale === 255 ? 1 : 1 / 255) / (spec.std?.[Math.floor(i / plane)] ?? 1);
				worst = Math.max(worst, Math.abs(found.data[i] - v) / step);
				sum += (found.data[i] - v) / step;
			}
			expect(worst).toBeLessThan(steps);
			expect(Math.abs(sum / expected.length)).toBeLessThan(0.05);
		},
	);
});

describe("the graph", () => {
	const half = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

	it("leaves out what changes nothing", () => {
		const spec: Preprocessing = { resize: { to: { shortestEdge: 64 }, filter: "bicubic" }, crop: { height: 64, width: 64 }, scale: 1 };
		expect(operators(spec, 64, 64)).toEqual(["Identity"]);
		expect(operators({ ...spec, ...half }, 64, 64)).toEqual(["Sub", "Div", "Identity"]);
		expect(operators({ ...spec, mean: [0, 0, 0], std: [1, 1, 1] }, 64, 64)).toEqual(["Identity"]);
		expect(operators(spec, 64, 80)).toEqual(["Slice", "Identity"]);
		expect(operators(spec, 128, 128)).toEqual(["Resize", "Clip", "Resize", "Clip", "Identity"]);
		expect(operators({ letterbox: { height: 64, width: 64, filter: "bilinear", fill: 0.5, align: "start" } }, 64, 64)).toEqual([
			"Identity",
		]);
	});

	it("does to the canvas what YOLOX wants: letterbox at the top left on 114, BGR, 0..255", async () => {
		const spec: Preprocessing = {
			letterbox: { height: 24, width: 24, filter: "bilinear", fill: 114 / 255, align: "start" },
			channels: "bgr",
			scale: 255,
		};
		const source = toRgb(tensor(random("yolox").uniforms(3 * 20 * 30), [3, 20, 30]));
		const found = await apply(spec, fromRgb(source));
		const reference = toRgb(
			toCanvas(source, { height: 24, width: 24, policy: "letterbox", align: "start", filter: "bilinear" }).canvas,
		).data;
		const plane = 24 * 24;
		for (let i = 0; i < plane; i++) {
			for (let c = 0; c < 3; c++) expect(Math.abs(found.data[c * plane + i] - reference[i * 3 + 2 - c])).toBeLessThan(1.1);
		}
		expect(found.data[plane - 1]).toBeCloseTo(114, 4);
	});

	it("accepts any batch and treats images alone", async () => {
		const spec: Preprocessing = { resize: { to: { height: 7, width: 9 }, filter: "bicubic" }, ...half };
		const images = tensor(random("batch").uniforms(2 * 3 * 12 * 10), [2, 3, 12, 10]);
		const session = await openSession(preprocessingGraph(spec, { height: 12, width: 10 }).graph);
		const { [PIXEL_VALUES]: out } = await session.run({ [CANVAS]: images });
		await session.close();
		const second = await apply(spec, tensor(images.data.slice(360), [3, 12, 10]));
		expect(out.dims).toEqual([2, 3, 7, 9]);
		expect([...out.data].slice(189)).toEqual([...second.data]);
	});

	it("says where a box of the canvas lies in the model's input", () => {
		const { mapping } = preprocessingGraph(
			{ resize: { to: { shortestEdge: 32 }, filter: "bilinear" }, crop: { height: 32, width: 32 } },
			{ height: 64, width: 128 },
		);
		expect(mapBox([64, 32, 8, 8], mapping)).toEqual([16, 16, 4, 4]);
		expect(mapBox([0, 0, 32, 32], inverse(mapping))).toEqual([32, 0, 64, 64]);
		expect(
			modelInputSize({ letterbox: { height: 24, width: 40, filter: "bilinear", fill: 0, align: "center" } }, { height: 9, width: 9 }),
		).toEqual({ height: 24, width: 40 });
	});
});

describe("gradients", () => {
	it.each<[string, Preprocessing]>([
		[
			"CLIP",
			{
				resize: { to: { shortestEdge: 9 }, filter: "bicubic" },
				crop: { height: 9, width: 9 },
				mean: [0.4, 0.5, 0.6],
				std: [0.2, 0.3, 0.4],
			},
		],
		["padded crop", { resize: { to: { height: 6, width: 20 }, filter: "bilinear" }, crop: { height: 9, width: 8 } }],
		["YOLOX", { letterbox: { height: 10, width: 11, filter: "bilinear", fill: 0.4, align: "center" }, channels: "bgr", scale: 255 }],
	])("reach the canvas: %s", async (_, spec) => {
		const [height, width] = [12, 16];
		const { graph } = preprocessingGraph(spec, { height, width });
		const gradient = vjp(await freeze(graph, { dims: { batch: 2 } }, shapeRuntime), { of: [PIXEL_VALUES], wrt: [CANVAS] });
		const session = await openSession(gradient);
		const feeds = { [CANVAS]: tensor(random("gradient").uniforms(2 * 3 * height * width, 0.3, 0.7), [2, 3, height, width]) };
		const { error } = await checkVjp(gradient, (f) => session.run(f), { of: PIXEL_VALUES, wrt: CANVAS, feeds, step: 0.02 });
		await session.close();
		expect(error).toBeLessThan(1e-3);
	});
});

describe("sizes", () => {
	it.each([
		[480, 640, { shortestEdge: 800, longestEdge: 1333 }, 800, 1066],
		[300, 640, { shortestEdge: 800, longestEdge: 1333 }, 625, 1333],
		[640, 427, { shortestEdge: 224 }, 335, 224],
		[480, 640, { shortestEdge: 800, longestEdge: 1333, multipleOf: 16 }, 800, 1056],
	])("%i x %i to %j is %i x %i, as in transformers", (height, width, to, h, w) => {
		expect(resizedSize({ height, width }, to)).toEqual({ height: h, width: w });
	});
});

describe("configuration files", () => {
	it("reads the old form", () => {
		const detr = {
			feature_extractor_type: "DetrFeatureExtractor",
			size: 800,
			max_size: 1333,
			do_normalize: true,
			image_mean: [0.1, 0.2, 0.3],
			image_std: [1, 2, 3],
		};
		expect(preprocessingFromConfig(detr)).toEqual({
			resize: { to: { shortestEdge: 800, longestEdge: 1333 }, filter: "bilinear" },
			scale: 1,
			mean: [0.1, 0.2, 0.3],
			std: [1, 2, 3],
		});
		const clip = { feature_extractor_type: "CLIPFeatureExtractor", size: 224, crop_size: 224, resample: 3 };
		expect(preprocessingFromConfig(clip)).toMatchObject({
			resize: { to: { shortestEdge: 224 }, filter: "bicubic" },
			crop: { height: 224, width: 224 },
			scale: 1,
			mean: [0.48145466, 0.4578275, 0.40821073],
		});
	});

	it("reads the newer names and switches", () => {
		expect(preprocessingFromConfig({ image_processor_type: "RTDetrImageProcessorFast" })).toEqual({
			resize: { to: { height: 640, width: 640 }, filter: "bilinear" },
			scale: 1,
		});
		expect(
			preprocessingFromConfig({ image_processor_type: "ViTImageProcessor", do_resize: false, do_rescale: false, do_normalize: false }),
		).toEqual({
			scale: 255,
		});
	});

	it.each([
		[{}, /image_processor_type: expected one of CLIPImageProcessor.*found nothing/],
		[{ image_processor_type: "SamImageProcessor" }, /found SamImageProcessor/],
		[{ image_processor_type: "ViTImageProcessor", resample: 1 }, /resample: expected 2 \(bilinear\) or 3 \(bicubic\), found 1/],
		[{ image_processor_type: "ViTImageProcessor", size: { edge: 3 } }, /size: expected height and width, or shortest_edge/],
		[{ image_processor_type: "ViTImageProcessor", image_mean: [1] }, /image_mean: expected three numbers, found \[1\]/],
		[[], /expected a JSON object, found \[\]/],
	])("refuses %j", (json, message) => {
		expect(() => preprocessingFromConfig(json)).toThrow(message);
	});
});
