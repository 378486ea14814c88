/** @file Any ONNX network as a classifier: preprocessing and score adapter are declared as data and become graph nodes. */
import { basename } from "node:path";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { hashData, hashFile } from "../hub/hash.ts";
import type { Preprocessing } from "../image/preprocess.ts";
import type { Graph } from "../onnx/index.ts";
import { readModelFile, type SessionOptions } from "../runtime/index.ts";
import type { Classifier } from "./classifier.ts";
import { graphClassifier } from "./graph-classifier.ts";
import { fromCanvas, preprocessingSchema } from "./preprocessing.ts";
import { type Scores, scoresSchema, withLogits } from "./scores.ts";
import { thresholdsOf } from "./thresholds.ts";

const side = z.int().positive();

/** Everything about an ONNX classifier but its file and its labels, as it is written in experiment files. */
export const onnxClassifierSchema = z.strictObject({
	scores: scoresSchema,
	preprocessing: preprocessingSchema.default({}),
	canvas: z.strictObject({ height: side, width: side }),
	threshold: z.number().min(0).max(1).default(0.5).describe("probability (sigmoid of the logit) above which a label counts as present"),
	batch: side.default(8).describe("images a run, if the model accepts any number"),
});

export interface OnnxClassifierOptions extends SessionOptions {
	/** A file, or a graph with a name and a hash. */
	model: string | { graph: Graph; name: string; hash: string };
	labels: readonly string[];
	scores: Scores;
	preprocessing?: Preprocessing;
	canvas: { readonly height: number; readonly width: number };
	/** Probability above which a label counts as present: one for all labels, or one a label. */
	threshold?: number | readonly number[];
	/** Logits above which labels count as present; they take the place of `threshold`. */
	thresholds?: Readonly<Record<string, number>>;
	/** Images a run (default 8), unless the model fixes it. */
	batch?: number;
}

const logit = (p: number) => Math.log(p / (1 - p));

function thresholdLogits(threshold: number | readonly number[], labels: readonly string[]): Float32Array {
	if (typeof threshold === "number") return new Float32Array(labels.length).fill(logit(threshold));
	if (threshold.length !== labels.length) {
		throw new KintsugiError("config", {
			where: "threshold",
			expected: `one number, or one for each of ${labels.length} labels`,
			found: `${threshold.length} numbers`,
			fix: "give as many thresholds as labels",
		});
	}
	return Float32Array.from(threshold, logit);
}

/** Opens an ONNX classifier. Throws `model`, `config` or `onnx` with what does not fit. */
export async function openOnnxClassifier(options: OnnxClassifierOptions): Promise<Classifier> {
	const { model, labels, scores, preprocessing = {}, canvas, threshold = 0.5, thresholds: given, batch: wanted = 8, ...session } = options;
	const source =
		typeof model === "string" ? { graph: readModelFile(model), name: basename(model, ".onnx"), hash: await hashFile(model) } : model;
	const thresholds = given ? thresholdsOf(labels, given, "thresholds") : thresholdLogits(threshold, labels);
	const { graph, batch } = fromCanvas(source.graph, { preprocessing, canvas, batch: wanted });
	return graphClassifier({
		...session,
		name: source.name,
		hash: hashData([source.hash, labels, scores, preprocessing, canvas, given ? [...thresholds] : threshold, batch]),
		graph: withLogits(graph, scores),
		labels,
		thresholds,
		canvas,
		batch,
	});
}
