/** @file Opens detectors: a DETR or YOLOS folder in the Hub's ONNX layout, or the ONNX file of a YOLOX. */
import { basename, join } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../../errors.ts";
import { hashData, hashFile } from "../../hub/hash.ts";
import { inverse, type Mapping, mapBox } from "../../image/geometry.ts";
import type { Preprocessing } from "../../image/preprocess.ts";
import { freeze, type Graph } from "../../onnx/index.ts";
import { openSession, readModelFile, type Session, type SessionOptions, shapeRuntime } from "../../runtime/index.ts";
import { assertDims, type Tensor } from "../../tensor/tensor.ts";
import { inBatches } from "../batches.ts";
import type { Detection, Detector } from "../detector.ts";
import { readModelJson, readPreprocessing } from "../hub-folder.ts";
import { CANVAS, fromCanvas, preprocessingSchema } from "../preprocessing.ts";
import { decodeDetr } from "./detr.ts";
import { decodeYolox } from "./yolox.ts";

const batch = z.int().positive().default(8).describe("images a run, if the model accepts any number");
const share = z.number().min(0).max(1);

export const detectorSchema = z.discriminatedUnion("kind", [
	z.strictObject({
		kind: z.literal("detr"),
		path: z.string().describe("folder with config.json, preprocessor_config.json and onnx/model.onnx (DETR, YOLOS)"),
		batch,
	}),
	z.strictObject({
		kind: z.literal("yolox"),
		path: z.string().describe("ONNX file with the raw head of YOLOX as its output"),
		labels: z.array(z.string()).min(1),
		preprocessing: preprocessingSchema.default({ channels: "bgr", scale: 255 }),
		nms: share.default(0.45).describe("overlap (IoU) above which the weaker of two boxes of one label is dropped"),
		batch,
	}),
]);

export type DetectorSpec = z.output<typeof detectorSchema>;
export type DetectorInput = z.input<typeof detectorSchema>;

/** What a family of detectors adds to the common machinery. */
interface Network {
	name: string;
	hash: string;
	labels: readonly string[];
	graph: Graph;
	preprocessing: Preprocessing;
	/** Outputs that `decode` reads, all `[N, ...]`. */
	outputs: readonly string[];
	decode(outputs: Record<string, Tensor>, context: { threshold: number; toCanvas: Mapping }): Detection[][];
}

/** Moves the boxes to canvas pixels, cuts them at its border, and drops those that lie outside. */
const onCanvas = (found: Detection[][], toCanvas: Mapping): Detection[][] =>
	found.map((detections) =>
		detections.flatMap((d) => {
			const box = mapBox(d.box, toCanvas);
			return box ? [{ ...d, box }] : [];
		}),
	);

const detrConfig = z.object({ id2label: z.record(z.string(), z.string()) });

async function detr({ path }: DetectorSpec & { kind: "detr" }): Promise<Network> {
	const { id2label } = readModelJson(path, "config.json", detrConfig);
	const labels = Array.from({ length: Object.keys(id2label).length }, (_, i) => id2label[i] ?? "N/A");
	const file = join(path, "onnx", "model.onnx");
	const preprocessing = readPreprocessing(path);
	return {
		name: basename(path),
		hash: hashData([await hashFile(file), labels, preprocessing]),
		labels,
		graph: readModelFile(file),
		preprocessing,
		outputs: ["logits", "pred_boxes"],
		decode({ logits, pred_boxes: boxes }, { threshold, toCanvas }) {
			return onCanvas(decodeDetr({ logits, boxes }, { labels, threshold, input: toCanvas.from }), toCanvas);
		},
	};
}

async function yolox({ path, labels, preprocessing, nms }: DetectorSpec & { kind: "yolox" }): Promise<Network> {
	const graph = readModelFile(path);
	const output = graph.outputs[0].name;
	return {
		name: basename(path, ".onnx"),
		hash: hashData([await hashFile(path), labels, preprocessing, nms]),
		labels,
		graph,
		preprocessing,
		outputs: [output],
		decode: (outputs, { threshold, toCanvas }) =>
			onCanvas(decodeYolox(outputs[output], { labels, threshold, nms, input: toCanvas.from }), toCanvas),
	};
}

function assertOutputs({ graph, outputs, name }: Network): void {
	const names = graph.outputs.map((v) => v.name);
	if (outputs.every((output) => names.includes(output))) return;
	throw new KintsugiError("model", {
		where: `detector '${name}'`,
		expected: `the outputs ${outputs.join(", ")}`,
		found: names.join(", "),
		fix: "export the model for object detection",
	});
}

/** Opens a detector; its graph is made for each canvas size when it is first met. Throws `model` or `config`. */
export async function openDetector(spec: DetectorSpec, options: SessionOptions = {}): Promise<Detector> {
	const network = await (spec.kind === "detr" ? detr(spec) : yolox(spec));
	assertOutputs(network);
	const { name, hash, labels, graph: model, preprocessing, outputs, decode } = network;
	const opened = new Map<string, Promise<{ session: Session; toCanvas: Mapping; batch: number }>>();
	const open = (height: number, width: number) => {
		const key = `${height} x ${width}`;
		const make = async () => {
			const { graph, mapping, batch: size } = fromCanvas(model, { preprocessing, canvas: { height, width }, batch: spec.batch });
			const frozen = await freeze(graph, { outputs: [...outputs] }, shapeRuntime);
			return { session: await openSession(frozen, options), toCanvas: inverse(mapping), batch: size };
		};
		const known = opened.get(key) ?? make();
		opened.set(key, known);
		return known;
	};
	return {
		name,
		hash,
		labels,
		async detect(images, { threshold = 0.5 } = {}) {
			assertDims(`images for ${name}`, images, [-1, 3, -1, -1]);
			const [n, , height, width] = images.dims;
			if (n === 0) return [];
			const { session, toCanvas, batch: size } = await open(height, width);
			const results = await inBatches(size, [images], async (chunk) => {
				const values = await session.run({ [CANVAS]: chunk }, { fetch: outputs });
				return values as Record<string, Tensor>;
			});
			return decode(results, { threshold, toCanvas });
		},
		async close() {
			const sessions = await Promise.allSettled(opened.values());
			opened.clear();
			for (const made of sessions) if (made.status === "fulfilled") await made.value.session.close();
		},
	};
}
