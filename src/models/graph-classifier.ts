/** @file A classifier from a graph: canvas in, logits out, gradients by one more graph a loss. */
import { lossGradientGraph, TOP_K } from "../autodiff/index.ts";
import { KintsugiError } from "../errors.ts";
import { freeze, type Graph, type StaticGraph } from "../onnx/index.ts";
import { openSession, type Session, type SessionOptions, shapeRuntime } from "../runtime/index.ts";
import { assertDims, type Tensor, tensor } from "../tensor/tensor.ts";
import { inBatches } from "./batches.ts";
import type { Classifier, LossName } from "./classifier.ts";
import { CANVAS } from "./preprocessing.ts";
import { LOGITS } from "./scores.ts";

export interface GraphClassifierOptions extends SessionOptions {
	name: string;
	hash: string;
	/** `CANVAS` -> `LOGITS`. */
	graph: Graph;
	labels: readonly string[];
	/** `[K]` */
	thresholds: Float32Array;
	canvas: { readonly height: number; readonly width: number };
	/** Images a run; fixed, so that a result does not depend on how many images are passed. */
	batch: number;
}

function assertLabels(graph: StaticGraph, batch: number, labels: readonly string[]): void {
	const dims = graph.values.get(LOGITS)?.dims ?? [];
	if (dims.length === 2 && dims[0] === batch && dims[1] === labels.length) return;
	throw new KintsugiError("config", {
		where: `classifier '${graph.name}'`,
		expected: `logits [${batch}, ${labels.length}]: ${labels.length} labels are given`,
		found: `[${dims.join(", ")}]`,
		fix: "give one label for each logit, or another scores adapter",
	});
}

/** Opens the graph at a fixed batch size; gradient graphs are made when a loss is first asked for. */
export async function graphClassifier(options: GraphClassifierOptions): Promise<Classifier> {
	const { name, hash, graph, labels, thresholds, canvas, batch, ...session } = options;
	const frozen = await freeze(graph, { dims: { [CANVAS]: [batch, 3, canvas.height, canvas.width] } }, shapeRuntime);
	assertLabels(frozen, batch, labels);
	const opened = new Map<string, Promise<Session>>();
	const open = (key: string, make: () => Graph | Promise<Graph>): Promise<Session> => {
		const known = opened.get(key);
		if (known) return known;
		const made = Promise.resolve(make()).then((g) => openSession(g, session));
		opened.set(key, made);
		return made;
	};
	const check = (images: Tensor) => assertDims(`images for ${name}`, images, [-1, 3, canvas.height, canvas.width]);
	const empty = (...dims: number[]) => tensor(new Float32Array(0), [0, ...dims]);

	return {
		name,
		hash,
		labels,
		canvas,
		thresholds,
		async predict(images) {
			check(images);
			if (images.dims[0] === 0) return empty(labels.length);
			const forward = await open("predict", () => frozen);
			const { logits } = await inBatches(batch, [images], async (chunk) => {
				const outputs = await forward.run({ [CANVAS]: chunk });
				return { logits: outputs[LOGITS] as Tensor };
			});
			return logits;
		},
		async lossGradient(loss: LossName, { k = TOP_K } = {}) {
			const key = loss === "ranking" ? `${loss}@${k}` : loss;
			const backward = await open(key, () => lossGradientGraph(frozen, { loss, logits: LOGITS, input: CANVAS, thresholds, k }));
			return async (images, targets) => {
				check(images);
				assertDims(`targets for ${name}`, targets, [images.dims[0], labels.length]);
				if (images.dims[0] === 0)
					return { loss: new Float32Array(0), logits: empty(labels.length), gradient: empty(3, canvas.height, canvas.width) };
				const result = await inBatches(batch, [images, targets], async (chunk, wanted) => {
					const outputs = await backward.run({ [CANVAS]: chunk, targets: wanted });
					return { loss: outputs.loss as Tensor, logits: outputs.logits as Tensor, gradient: outputs.gradient as Tensor };
				});
				return { ...result, loss: result.loss.data };
			};
		},
		async close() {
			const sessions = await Promise.allSettled(opened.values());
			opened.clear();
			for (const made of sessions) if (made.status === "fulfilled") await made.value.close();
		},
	};
}
