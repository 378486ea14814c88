/** @file A classifier small enough to be differentiated by hand: logits = B tanh(A (x - 1/2)), for tests of attacks and purifiers. */
import type { Classifier, LossName } from "../../src/models/classifier.ts";
import { random } from "../../src/tensor/random.ts";
import { row, tensor } from "../../src/tensor/tensor.ts";

export interface AnalyticOptions {
	height?: number;
	width?: number;
	labels?: readonly string[];
	hidden?: number;
	seed?: number;
	/** "zero" and "nan" spoil the gradient, as a broken or masking model would. */
	gradient?: "exact" | "zero" | "nan";
	/** Scale of the first layer: larger means steeper. */
	gain?: number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Loss of one image and its derivative with respect to the logits. */
function lossOf(
	name: LossName,
	z: Float64Array,
	t: Float32Array,
	{ thresholds, k: top = 3 }: { thresholds: Float32Array; k?: number },
): { loss: number; dz: Float64Array } {
	if (name === "cross-entropy") {
		const top = Math.max(...z);
		const sum = z.reduce((s, v) => s + Math.exp(v - top), 0);
		const total = t.reduce((s, v) => s + v, 0);
		const logp = z.map((v) => v - top - Math.log(sum));
		return { loss: -logp.reduce((s, v, k) => s + v * t[k], 0), dz: logp.map((v, k) => total * Math.exp(v) - t[k]) };
	}
	if (name === "set-cross-entropy") {
		const top = Math.max(...z);
		const p = z.map((v) => Math.exp(v - top));
		const all = p.reduce((s, v) => s + v, 0);
		const wanted = p.reduce((s, v, k) => s + v * t[k], 0);
		return { loss: Math.log(all / wanted), dz: p.map((v, k) => v / all - (t[k] * v) / wanted) };
	}
	if (name === "bce") {
		const p = z.map((v, k) => sigmoid(v - thresholds[k]));
		return { loss: -p.reduce((s, v, k) => s + Math.log(t[k] > 0 ? v : 1 - v), 0), dz: p.map((v, k) => v - t[k]) };
	}
	if (name === "linear") return { loss: z.reduce((s, v, k) => s + v * t[k], 0), dz: Float64Array.from(t) };
	if (name === "ranking") {
		const order = [...z.keys()].sort((a, b) => z[b] - z[a]);
		const others = order.filter((k) => t[k] === 0);
		const other = others[Math.min(top, others.length) - 1];
		const own = order.filter((k) => t[k] > 0)[0];
		return { loss: z[other] - z[own], dz: z.map((_, k) => (k === other ? 1 : k === own ? -1 : 0)) };
	}
	if (name !== "margin" && name !== "set-margin") throw new Error(`the analytic classifier has no loss ${name}`);
	const indices = [...z.keys()];
	const other = indices.filter((k) => t[k] === 0).reduce((a, b) => (z[b] > z[a] ? b : a));
	const sign = name === "margin" ? 1 : -1;
	const own = indices.filter((k) => t[k] > 0).reduce((a, b) => (sign * z[b] < sign * z[a] ? b : a));
	return { loss: z[other] - z[own], dz: z.map((_, k) => (k === other ? 1 : k === own ? -1 : 0)) };
}

export function analyticClassifier({
	height = 4,
	width = 4,
	labels = ["cat", "dog", "bus", "pizza", "umbrella"],
	hidden = 8,
	seed = 1,
	gradient: mode = "exact",
	gain = 0.6,
}: AnalyticOptions = {}): Classifier {
	const size = 3 * height * width;
	const a = random(seed, "A")
		.normals(hidden * size)
		.map((v) => v * gain);
	const b = random(seed, "B").normals(labels.length * hidden);
	const thresholds = new Float32Array(labels.length).fill(0.5);
	const forward = (x: Float32Array) => {
		const h = new Float64Array(hidden);
		for (let j = 0; j < hidden; j++) {
			for (let i = 0; i < size; i++) h[j] += a[j * size + i] * (x[i] - 0.5);
			h[j] = Math.tanh(h[j]);
		}
		return { h, z: Float64Array.from(labels, (_, k) => h.reduce((s, v, j) => s + b[k * hidden + j] * v, 0)) };
	};
	return {
		name: "analytic",
		hash: `analytic-${seed}`,
		labels,
		canvas: { height, width },
		thresholds,
		async predict(images) {
			const rows = Array.from({ length: images.dims[0] }, (_, n) => [...forward(row(images, n).data).z]);
			return tensor(Float32Array.from(rows.flat()), [images.dims[0], labels.length]);
		},
		async lossGradient(name, { k = 3 } = {}) {
			return async (images, targets) => {
				const n = images.dims[0];
				const loss = new Float32Array(n);
				const logits = tensor(new Float32Array(n * labels.length), [n, labels.length]);
				const gradient = tensor(new Float32Array(images.data.length), images.dims);
				for (let i = 0; i < n; i++) {
					const { h, z } = forward(row(images, i).data);
					const { loss: value, dz } = lossOf(name, z, row(targets, i).data, { thresholds, k });
					loss[i] = value;
					row(logits, i).data.set(z);
					const dh = h.map((v, j) => (1 - v * v) * dz.reduce((s, d, k) => s + d * b[k * hidden + j], 0));
					const g = row(gradient, i).data;
					for (let p = 0; p < size; p++) for (let j = 0; j < hidden; j++) g[p] += dh[j] * a[j * size + p];
					if (mode === "zero") g.fill(0);
					if (mode === "nan") g[0] = Number.NaN;
				}
				return { loss, logits, gradient };
			};
		},
		async close() {},
	};
}
