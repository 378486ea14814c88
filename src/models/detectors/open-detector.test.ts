import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { COCO_CATEGORIES } from "../../datasets/coco-categories.ts";
import { toCanvas } from "../../image/canvas.ts";
import { decodeImage } from "../../image/decode.ts";
import { mapBox } from "../../image/geometry.ts";
import { floatTensor, graphBuilder, writeModel } from "../../onnx/index.ts";
import { stack, tensor, zeros } from "../../tensor/tensor.ts";
import { iou } from "./boxes.ts";
import { detectorSchema, openDetector } from "./open-detector.ts";

const folder = mkdtempSync(join(tmpdir(), "kintsugi-detector-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Two queries whose scores follow the mean of the normalised pixels; boxes are fixed. */
function writeTinyDetr(path: string): void {
	mkdirSync(join(path, "onnx"), { recursive: true });
	const g = graphBuilder({ name: "tiny-detr", opset: 17 });
	g.input("pixel_values", "float", ["batch", 3, "height", "width"]);
	const mean = g.op("ReduceMean", ["pixel_values"], { axes: [1, 2, 3], keepdims: 1 });
	const scores = g.op(
		"Mul",
		[g.op("Squeeze", [mean, g.ints([3])]), g.constant(floatTensor([4, 0, 0, 0, -4, 0], [1, 2, 3]))],
		{},
		{ name: "logits" },
	);
	const boxes = g.op(
		"Add",
		[
			g.op("Mul", [g.op("Squeeze", [mean, g.ints([3])]), g.scalar(0)]),
			g.constant(floatTensor([0.25, 0.5, 0.5, 1, 0.9, 0.5, 0.4, 0.5], [1, 2, 4])),
		],
		{},
		{ name: "pred_boxes" },
	);
	g.output(scores, "float", ["batch", 2, 3]);
	g.output(boxes, "float", ["batch", 2, 4]);
	writeFileSync(join(path, "onnx", "model.onnx"), writeModel(g.build()));
	writeFileSync(join(path, "config.json"), JSON.stringify({ model_type: "yolos", id2label: { 0: "cat", 1: "dog" } }));
	const size = { height: 8, width: 8 };
	const half = [0.5, 0.5, 0.5];
	writeFileSync(
		join(path, "preprocessor_config.json"),
		JSON.stringify({ image_processor_type: "YolosImageProcessor", size, image_mean: half, image_std: half }),
	);
}

describe("openDetector", () => {
	it("reads a DETR folder, preprocesses inside the graph, and returns boxes in canvas pixels", async () => {
		const path = join(folder, "tiny-detr");
		writeTinyDetr(path);
		const detector = await openDetector(detectorSchema.parse({ kind: "detr", path, batch: 2 }));
		const images = stack([
			tensor(new Float32Array(3 * 20 * 40).fill(1), [3, 20, 40]),
			zeros([3, 20, 40]),
			tensor(new Float32Array(3 * 20 * 40).fill(0.5), [3, 20, 40]),
		]);
		const found = await detector.detect(images, { threshold: 0.6 });
		const score = Math.exp(4) / (Math.exp(4) + 2);
		expect(found.map((d) => d.map(({ label }) => label))).toEqual([["cat"], ["dog"], []]);
		expect(found[0][0].score).toBeCloseTo(score, 5);
		expect(found[0][0].box).toEqual([0, 0, 20, 20]);
		expect(found[1][0].box.map((v) => Math.round(v * 1000) / 1000)).toEqual([28, 5, 12, 10]);
		expect((await detector.detect(zeros([1, 3, 10, 10])))[0][0].box[0]).toBeCloseTo(7);
		expect(detector.labels).toEqual(["cat", "dog"]);
		await detector.close();
	});

	it("says what is wrong with a model folder", async () => {
		const open = (path: string) => openDetector(detectorSchema.parse({ kind: "detr", path }));
		await expect(open(join(folder, "absent"))).rejects.toThrow(/config.json.*no such file/);
		const path = join(folder, "broken");
		mkdirSync(path);
		writeFileSync(join(path, "config.json"), "{ not json");
		await expect(open(path)).rejects.toThrow(/expected a JSON file, found something else/);
		writeFileSync(join(path, "config.json"), "{}");
		await expect(open(path)).rejects.toThrow(/id2label/);
	});
});

const coco = "../shared/coco";
const yolox = "../shared/models/yolox_nano.onnx";

describe.skipIf(!existsSync(coco) || !existsSync(yolox))("YOLOX-nano on real photographs", () => {
	it("finds most large annotated objects with the right label and place", async () => {
		const annotations = JSON.parse(readFileSync(join(coco, "annotations/instances_train2017.json"), "utf8")) as {
			images: { id: number; file_name: string }[];
			annotations: { image_id: number; category_id: number; bbox: [number, number, number, number]; area: number; iscrowd: number }[];
		};
		const labels = COCO_CATEGORIES.map((c) => c.name);
		const detector = await openDetector(detectorSchema.parse({ kind: "yolox", path: yolox, labels }));
		const photographs = annotations.images.slice(0, 12);
		const canvases = await Promise.all(
			photographs.map(async ({ file_name }) =>
				toCanvas(await decodeImage(join(coco, "train2017", file_name)), {
					height: 416,
					width: 416,
					policy: "letterbox",
					align: "start",
					filter: "bilinear",
				}),
			),
		);
		const found = await detector.detect(stack(canvases.map((c) => c.canvas)), { threshold: 0.3 });
		let objects = 0;
		let hits = 0;
		photographs.forEach(({ id }, n) => {
			for (const object of annotations.annotations.filter((a) => a.image_id === id && a.iscrowd === 0)) {
				const box = mapBox(object.bbox, canvases[n].mapping);
				if (!box || box[2] * box[3] < 96 ** 2) continue;
				objects++;
				const label = COCO_CATEGORIES.find((c) => c.id === object.category_id)?.name;
				if (found[n].some((d) => d.label === label && iou(d.box, box) > 0.5)) hits++;
			}
		});
		expect(objects).toBeGreaterThan(15);
		expect(hits / objects).toBeGreaterThan(0.6);
		await detector.close();
	});
});
