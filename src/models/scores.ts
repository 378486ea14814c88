/** @file How a network's output becomes one logit a label: an adapter declared as data and written as graph nodes. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { type GraphBuilder, graphBuilder } from "../onnx/builder.ts";
import type { Graph } from "../onnx/graph.ts";

const output = z.string().describe("name of the network's output");
const range = z.tuple([z.int().nonnegative(), z.int().positive()]).describe("first column and the column after the last one");

export const scoresSchema = z.discriminatedUnion("kind", [
	z.strictObject({ kind: z.literal("logits"), output }),
	z.strictObject({
		kind: z.literal("probabilities"),
		output,
		/** A softmax gives log p as logits (their softmax is p again), a sigmoid log(p / (1 - p)). */
		from: z.enum(["softmax", "sigmoid"]).default("softmax").describe("the activation that made the probabilities"),
	}),
	z.strictObject({
		kind: z.literal("max-over-rows"),
		output,
		activation: z.enum(["softmax", "sigmoid"]).exactOptional().describe("what makes scores of a row's columns; default: they are scores"),
		objectness: z.int().nonnegative().optional().describe("column that multiplies every class score"),
		classes: range,
	}),
]);

/**
 * - `logits`: `[N, K]` as they are.
 * - `probabilities`: `[N, K]` in [0, 1].
 * - `max-over-rows`: `[N, rows, columns]` of a detector; the probability of a label is the largest objectness x class score
 *   of all rows (YOLOX: objectness 4, classes [5, 85]; DETR and YOLOS: activation softmax, whose last column is "no object").
 */
export type Scores = z.output<typeof scoresSchema>;
export type ScoresInput = z.input<typeof scoresSchema>;

/** Name of the output that every classifier's graph ends in: `[N, K]`. */
export const LOGITS = "kintsugi/logits";

/** Probabilities are kept this far from 0 and 1, so that logits and their gradients stay finite. */
const MARGIN = 1e-6;

function logit(g: GraphBuilder, probability: string): string {
	const p = g.op("Clip", [probability, g.scalar(MARGIN), g.scalar(1 - MARGIN)]);
	return g.op("Sub", [g.op("Log", [p]), g.op("Log", [g.op("Sub", [g.scalar(1), p])])]);
}

function columns(g: GraphBuilder, value: string, from: number, to: number): string {
	return g.op("Slice", [value, g.ints([from]), g.ints([to]), g.ints([2])]);
}

function activated(g: GraphBuilder, value: string, activation: "softmax" | "sigmoid" | undefined): string {
	if (activation === undefined) return value;
	return activation === "softmax" ? g.op("Softmax", [value], { axis: 2 }) : g.op("Sigmoid", [value]);
}

function addScores(g: GraphBuilder, scores: Scores): string {
	switch (scores.kind) {
		case "logits":
			return scores.output;
		case "probabilities":
			if (scores.from === "sigmoid") return logit(g, scores.output);
			return g.op("Log", [g.op("Clip", [scores.output, g.scalar(MARGIN), g.scalar(1)])]);
		case "max-over-rows": {
			const { output, activation, objectness, classes } = scores;
			const rows = activated(g, output, activation);
			const classScores = columns(g, rows, ...classes);
			const joint = objectness === undefined ? classScores : g.op("Mul", [classScores, columns(g, rows, objectness, objectness + 1)]);
			return logit(g, g.op("ReduceMax", [joint, g.ints([1])], { keepdims: 0 }));
		}
	}
}

/** The graph with one output, `LOGITS`, in place of its own. Needs opset 18 (`upgrade`). Throws `config` if it lacks the output. */
export function withLogits(graph: Graph, scores: Scores): Graph {
	const source = graph.outputs.find((v) => v.name === scores.output);
	if (!source) {
		throw new KintsugiError("config", {
			where: "scores.output",
			expected: `an output of the model (${graph.outputs.map((v) => v.name).join(", ")})`,
			found: scores.output,
			fix: "name an existing output",
		});
	}
	const g = graphBuilder({ extend: { ...graph, outputs: [] }, prefix: "kintsugi/scores/" });
	const logits = addScores(g, scores);
	const built = g.build();
	const end = { op: "Identity", domain: "", name: LOGITS, inputs: [logits], outputs: [LOGITS], attributes: {} };
	return {
		...built,
		nodes: [...built.nodes, end],
		outputs: [{ name: LOGITS, type: "float", dims: [source.dims[0] ?? "batch", "labels"] }],
	};
}
