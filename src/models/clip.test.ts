import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatTensor, graphBuilder, writeModel } from "../onnx/index.ts";
import { random } from "../tensor/random.ts";
import { stack, tensor } from "../tensor/tensor.ts";
import { openClip } from "./clip.ts";

const root = mkdtempSync(join(tmpdir(), "kintsugi-clip-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const words = ["<pad>", "<end>", "a", "photo", "of", "cat", "dog", "bus"];
const width = 4;
const table = random(1, "table").normals(words.length * width);
const projection = random(1, "projection").normals(3 * width);

/** Text: sum of word vectors. Image: mean colour times a matrix. */
function writeTinyClip(folder: string, extra: Record<string, unknown> = {}): void {
	mkdirSync(join(folder, "onnx"), { recursive: true });
	const write = (name: string, json: unknown) => writeFileSync(join(folder, name), JSON.stringify(json));
	const text = graphBuilder({ name: "text", opset: 18 });
	text.input("input_ids", "int64", ["batch", "length"]);
	const vectors = text.op("Gather", [text.constant(floatTensor(table, [words.length, width])), "input_ids"]);
	text.output(text.op("ReduceSum", [vectors, text.ints([1])], { keepdims: 0 }, { name: "text_embeds" }), "float", ["batch", width]);
	writeFileSync(join(folder, "onnx/text_model.onnx"), writeModel(text.build()));
	const vision = graphBuilder({ name: "vision", opset: 18 });
	vision.input("pixel_values", "float", ["batch", 3, 4, 4]);
	const colour = vision.op("ReduceMean", ["pixel_values", vision.ints([2, 3])], { keepdims: 0 });
	vision.output(
		vision.op("MatMul", [colour, vision.constant(floatTensor(projection, [3, width]))], {}, { name: "image_embeds" }),
		"float",
		["batch", width],
	);
	writeFileSync(join(folder, "onnx/vision_model.onnx"), writeModel(vision.build()));
	const special = { lstrip: false, rstrip: false, normalized: false, single_word: false, special: true };
	write("tokenizer.json", {
		version: "1.0",
		added_tokens: [0, 1].map((id) => ({ id, content: words[id], ...special })),
		normalizer: null,
		pre_tokenizer: { type: "Whitespace" },
		post_processor: null,
		decoder: null,
		model: { type: "WordLevel", vocab: Object.fromEntries(words.map((w, i) => [w, i])), unk_token: "<pad>" },
	});
	write("tokenizer_config.json", { model_max_length: 8, pad_token: "<pad>", eos_token: "<end>" });
	write("config.json", { model_type: "clip", ...extra });
	write("preprocessor_config.json", {
		image_processor_type: "CLIPImageProcessor",
		size: { shortest_edge: 4 },
		crop_size: 4,
		image_mean: [0.5, 0.5, 0.5],
		image_std: [0.5, 0.5, 0.5],
	});
}

const canvas = { height: 4, width: 4 };
const colours = [
	[1, 0.2, 0.1],
	[0.3, 0.9, 0.4],
	[0, 0, 1],
];
const images = stack(
	colours.map((c) =>
		tensor(
			Float32Array.from({ length: 48 }, (_, i) => c[Math.floor(i / 16)]),
			[3, 4, 4],
		),
	),
);

/** Cosine of the mean colour and a prompt, by hand. */
function cosine(colour: number[], prompt: string): number {
	const image = Array.from({ length: width }, (_, d) => colour.reduce((s, c, i) => s + ((c - 0.5) / 0.5) * projection[i * width + d], 0));
	const ids = prompt.split(" ").map((w) => words.indexOf(w));
	while (ids.length < 8) ids.push(0);
	const text = Array.from({ length: width }, (_, d) => ids.reduce((s, id) => s + table[id * width + d], 0));
	return image.reduce((s, v, d) => s + v * text[d], 0) / (Math.hypot(...image) * Math.hypot(...text));
}

describe("openClip", () => {
	it("gives scale * cosine + bias of image and prompt, for any number of images", async () => {
		const folder = join(root, "tiny-clip");
		writeTinyClip(folder, { logit_scale: 10, logit_bias: -2 });
		writeFileSync(join(folder, "thresholds.json"), JSON.stringify({ prompt: "photo of {label}", thresholds: { cat: 1, dog: 2, bus: 3 } }));
		const clip = await openClip({ folder, canvas, batch: 2 });
		expect(clip.labels).toEqual(["cat", "dog", "bus"]);
		expect([...clip.thresholds]).toEqual([1, 2, 3]);
		const { data, dims } = await clip.predict(images);
		expect(dims).toEqual([3, 3]);
		colours.forEach((colour, n) => {
			clip.labels.forEach((label, k) => {
				expect(data[n * 3 + k]).toBeCloseTo(10 * cosine(colour, `photo of ${label}`) - 2, 4);
			});
		});
		await clip.close();
	});

	it("behaves as OpenAI's CLIP without the extra keys, and takes other labels, templates and thresholds", async () => {
		const folder = join(root, "plain-clip");
		writeTinyClip(folder);
		const options = { folder, canvas, labels: ["bus", "cat"], template: "{label}", thresholds: { bus: 7 } };
		const clip = await openClip(options);
		expect([...clip.thresholds]).toEqual([7, 25]);
		const { data } = await clip.predict(images);
		expect(data[1]).toBeCloseTo(100 * cosine(colours[0], "cat"), 3);
		const other = await openClip({ ...options, template: "a {label}" });
		expect(other.hash).not.toBe(clip.hash);
		expect((await openClip(options)).hash).toBe(clip.hash);
		await Promise.all([clip.close(), other.close()]);
	});

	it("finds a common prompt where no template is given", async () => {
		const clip = await openClip({ folder: join(root, "plain-clip"), canvas, labels: ["bus", "cat"] });
		const { data } = await clip.predict(images);
		expect(data[0]).toBeCloseTo(100 * cosine(colours[0], "a photo of a bus"), 3);
		await clip.close();
	});

	it("refuses folders and labels it cannot use", async () => {
		await expect(openClip({ folder: join(root, "absent"), canvas })).rejects.toThrow(/config.json.*no such file/);
		const folder = join(root, "plain-clip");
		await expect(openClip({ folder, canvas })).rejects.toThrow(/at least two different labels, found 0/);
		await expect(openClip({ folder, canvas, labels: ["cat", "cat"] })).rejects.toThrow(/a label twice/);
	});
});
