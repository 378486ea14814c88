/** @file The text side of CLIP: one unit vector a label, computed once and baked into the classifier's graph. */
import { KintsugiError } from "../errors.ts";
import type { Graph } from "../onnx/index.ts";
import { openSession, type SessionOptions } from "../runtime/index.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** The output that holds the projected embeddings, as exporters name it. */
function embeddingOutput(graph: Graph): string {
	const names = graph.outputs.map((v) => v.name);
	const name = ["text_embeds", "text_features", "pooler_output"].find((known) => names.includes(known));
	if (name) return name;
	throw new KintsugiError("model", {
		where: "CLIP text model",
		expected: "an output text_embeds",
		found: names.join(", "),
		fix: "use a text model exported with its projection",
	});
}

/**
 * Embeddings `[K, D]`, each of length 1, of token ids `[K, L]`. CLIP's attention is causal and its embedding is read at the
 * end token, so padding after it changes nothing and every token may be attended to.
 */
export async function embedTexts(graph: Graph, ids: Tensor<"int64">, options: SessionOptions = {}): Promise<Tensor> {
	const output = embeddingOutput(graph);
	const [texts, length] = ids.dims;
	const filled = (value: (position: number) => number) =>
		tensor(
			BigInt64Array.from({ length: texts * length }, (_, i) => BigInt(value(i % length))),
			ids.dims,
			"int64",
		);
	const feeds = { input_ids: ids, attention_mask: filled(() => 1), position_ids: filled((i) => i) };
	const session = await openSession(graph, options);
	try {
		const wanted = Object.entries(feeds).filter(([name]) => session.inputs.some((input) => input.name === name));
		const results = await session.run(Object.fromEntries(wanted), { fetch: [output] });
		return unitRows(results[output] as Tensor);
	} finally {
		await session.close();
	}
}

/** Rows `[K, D]` divided by their lengths. */
function unitRows({ data, dims }: Tensor): Tensor {
	const [rows, width] = dims;
	const out = new Float32Array(data.length);
	for (let k = 0; k < rows; k++) {
		const values = data.subarray(k * width, (k + 1) * width);
		const length = Math.hypot(...values);
		out.set(
			values.map((v) => v / length),
			k * width,
		);
	}
	return tensor(out, [rows, width]);
}
