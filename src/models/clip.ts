/** @file CLIP as a zero-shot classifier, from a folder in the Hub's ONNX layout. */
import { basename, join } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { hashData, hashFile } from "../hub/hash.ts";
import { constantOf, type Graph, graphBuilder } from "../onnx/index.ts";
import { readModelFile, type SessionOptions } from "../runtime/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { tensor } from "../tensor/tensor.ts";
import type { Classifier } from "./classifier.ts";
import { embedTexts } from "./clip-text.ts";
import { graphClassifier } from "./graph-classifier.ts";
import { readModelJson, readPreprocessing } from "./hub-folder.ts";
import { fromCanvas } from "./preprocessing.ts";
import { LOGITS } from "./scores.ts";
import { bundledThresholds } from "./thresholds.ts";
import { openTokenizer } from "./tokenizer.ts";

export interface ClipOptions extends SessionOptions {
	/** Folder with config.json, preprocessor_config.json, tokenizer files, onnx/vision_model.onnx and onnx/text_model.onnx. */
	folder: string;
	/** Default: the labels of thresholds.json. */
	labels?: readonly string[];
	/** `{label}` is replaced; default: the prompt of thresholds.json, else "a photo of a {label}". */
	template?: string;
	canvas: { readonly height: number; readonly width: number };
	/** Logits above which labels count as present; default: thresholds.json, else `DEFAULT_COSINE` for every label. */
	thresholds?: Readonly<Record<string, number>>;
	/** Images a run; default 8. */
	batch?: number;
}

const config = z.object({ logit_scale: z.number().default(100), logit_bias: z.number().default(0) });
/** Where nothing is calibrated, a label counts as present above this cosine: a rough value for OpenAI's CLIP. */
export const DEFAULT_COSINE = 0.25;

const TEMPLATE = "a photo of a {label}";

/** The graph with `LOGITS` = scale * cosine(image, text) + bias in place of its outputs; `texts` are unit vectors `[K, D]`. */
export function withTexts(graph: Graph, texts: Tensor, { scale, bias }: { scale: number; bias: number }): Graph {
	const names = graph.outputs.map((v) => v.name);
	const output = ["image_embeds", "image_features", "pooler_output"].find((known) => names.includes(known));
	if (!output) {
		throw new KintsugiError("model", {
			where: "CLIP vision model",
			expected: "an output image_embeds",
			found: names.join(", "),
			fix: "use a vision model exported with its projection",
		});
	}
	const [labels, width] = texts.dims;
	const scaled = Float32Array.from(
		{ length: texts.data.length },
		(_, i) => scale * texts.data[(i % labels) * width + Math.floor(i / labels)],
	);
	const g = graphBuilder({ extend: { ...graph, outputs: [] }, prefix: "kintsugi/clip/" });
	const length = g.op("ReduceL2", [output, g.ints([1])], { keepdims: 1 });
	const unit = g.op("Div", [output, length]);
	const weights = g.constant(constantOf(tensor(scaled, [width, labels])));
	const similarity = g.op("MatMul", [unit, weights]);
	const shifted = g.op("Add", [similarity, g.scalar(bias)]);
	const built = g.build();
	const end = { op: "Identity", domain: "", name: LOGITS, inputs: [shifted], outputs: [LOGITS], attributes: {} };
	return { ...built, nodes: [...built.nodes, end], outputs: [{ name: LOGITS, type: "float", dims: ["batch", labels] }] };
}

function assertDistinct(labels: readonly string[]): void {
	if (labels.length >= 2 && new Set(labels).size === labels.length) return;
	throw new KintsugiError("config", {
		where: "labels of the CLIP classifier",
		expected: "at least two different labels",
		found: labels.length < 2 ? `${labels.length}` : "a label twice",
		fix: "give the labels to choose between",
	});
}

/** Opens a zero-shot classifier: the texts are embedded once and become constants of its graph. */
export async function openClip(options: ClipOptions): Promise<Classifier> {
	const { folder, canvas, labels: given, template, thresholds: overrides = {}, batch: wanted = 8, ...session } = options;
	const { logit_scale: scale, logit_bias: bias } = readModelJson(folder, "config.json", config);
	const calibration = await bundledThresholds(folder);
	const labels = given ?? Object.keys(calibration.thresholds);
	assertDistinct(labels);
	const fallback = scale * DEFAULT_COSINE + bias;
	const thresholds = Float32Array.from(labels, (label) => overrides[label] ?? calibration.thresholds[label] ?? fallback);
	const vision = join(folder, "onnx", "vision_model.onnx");
	const text = join(folder, "onnx", "text_model.onnx");
	const tokenizer = await openTokenizer(folder);
	const prompts = labels.map((label) => (template ?? calibration.prompt ?? TEMPLATE).replaceAll("{label}", label));
	const texts = await embedTexts(readModelFile(text), tokenizer.encode(prompts), session);
	const preprocessing = readPreprocessing(folder);
	const { graph, batch } = fromCanvas(readModelFile(vision), { preprocessing, canvas, batch: wanted });
	const tokenizerHash = await hashFile(join(folder, "tokenizer.json"));
	return graphClassifier({
		...session,
		name: basename(folder),
		hash: hashData([
			await hashFile(vision),
			await hashFile(text),
			tokenizerHash,
			prompts,
			labels,
			[...thresholds],
			scale,
			bias,
			preprocessing,
			canvas,
			batch,
		]),
		graph: withTexts(graph, texts, { scale, bias }),
		labels,
		thresholds,
		canvas,
		batch,
	});
}
