import { describe, expect, it } from "vitest";
import { analyticClassifier } from "../../test/support/analytic-classifier.ts";
import type { Classifier, LossGradient } from "../models/classifier.ts";
import { random } from "../tensor/random.ts";
import { row, stack, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { topLabels } from "./criteria.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { norm2 } from "./threat-model.ts";

const SIZE = 48;
const LABELS = ["a", "b", "c", "d", "e", "f"];
/** Labels of different steepness, so that the runner-up is not always the nearest. */
const weights = random(1, "weights")
	.normals(LABELS.length * SIZE)
	.map((w, i) => w * (1 + Math.floor(i / SIZE) / 2));
const weight = (k: number) => weights.subarray(k * SIZE, (k + 1) * SIZE);

/** Logits W (x - 1/2): DeepFool is exact on it after one step. */
const linear: Classifier = {
	name: "linear",
	hash: "linear",
	labels: LABELS,
	canvas: { height: 4, width: 4 },
	thresholds: new Float32Array(LABELS.length),
	async predict(images) {
		const logits = zeros([images.dims[0], LABELS.length]);
		for (let n = 0; n < images.dims[0]; n++) {
			const x = row(images, n).data;
			row(logits, n).data.set(LABELS.map((_, k) => weight(k).reduce((sum, w, i) => sum + w * (x[i] - 0.5), 0)));
		}
		return logits;
	},
	async lossGradient(loss) {
		expect(loss).toBe("linear");
		return async (images, targets): Promise<LossGradient> => {
			const gradient = zeros(images.dims);
			for (let n = 0; n < images.dims[0]; n++) {
				const t = row(targets, n).data;
				row(gradient, n).data.set(
					Float32Array.from({ length: SIZE }, (_, i) => LABELS.reduce((sum, _, k) => sum + t[k] * weight(k)[i], 0)),
				);
			}
			return { loss: new Float32Array(images.dims[0]), logits: await linear.predict(images), gradient };
		};
	},
	async close() {},
};

const ids = ["a", "b", "c", "d", "e", "f"];
const drawn = (low: number, high: number) =>
	tensor(
		random(5, "images")
			.uniforms(ids.length * SIZE, low, high)
			.map((v) => Math.round(Math.min(1, Math.max(0, v)) * 255) / 255),
		[ids.length, 3, 4, 4],
	);
/** Far enough from 0 and 1 that no pixel is cut. */
const images = drawn(0.3, 0.7);
type DeepfoolInput = Omit<Extract<AttackSpecInput, { name: "deepfool" }>, "name">;
const run = (spec: DeepfoolInput = {}, input: Partial<Parameters<typeof runAttack>[2]> = {}, model: Classifier = linear) =>
	runAttack(createAttack({ name: "deepfool", ...spec }), model, { images, ids, seed: 3, ...input });

const analytic = analyticClassifier();
const changes = (moved: Tensor) => ids.map((_, n) => row(moved, n).data.map((v, i) => v - row(images, n).data[i]));
const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Distance of row n to the nearest boundary of the linear classifier among `rivals` labels. */
function boundary(clean: Tensor, n: number, dual: (w: Float32Array) => number, rivals = LABELS.length - 1): number {
	const z = row(clean, n).data;
	const [own, ...others] = topLabels(z, LABELS.length);
	return Math.min(...others.slice(0, rivals).map((k) => (z[own] - z[k]) / dual(weight(k).map((w, i) => w - weight(own)[i]))));
}
const l1 = (w: Float32Array) => w.reduce((sum, v) => sum + Math.abs(v), 0);

describe("deepfool", () => {
	it("goes to the nearest boundary of a linear classifier in one step, and the overshoot beyond", async () => {
		const l2 = await run();
		const linf = await run({ norm: "linf", overshoot: 0.1 });
		for (const [n] of ids.entries()) {
			expect(norm2(changes(l2.unrounded)[n])).toBeCloseTo(1.02 * (boundary(l2.cleanLogits, n, norm2) + 1e-4), 5);
			const most = Math.max(...changes(linf.unrounded)[n].map(Math.abs));
			expect(most).toBeCloseTo(1.1 * (boundary(linf.cleanLogits, n, l1) + 1e-4), 5);
			expect(l2.outcomes[n]).toMatchObject({ successBeforeRounding: true, gradientEvaluations: LABELS.length - 1 });
		}
	});

	it("looks only at the candidates, by their clean logits", async () => {
		const two = await run({ candidates: 2, overshoot: 0, nudge: 1e-5 });
		const all = await run({ candidates: "all", overshoot: 0, nudge: 1e-5 });
		for (const [n] of ids.entries()) {
			expect(norm2(changes(two.unrounded)[n])).toBeCloseTo(boundary(two.cleanLogits, n, norm2, 1), 4);
			expect(norm2(changes(all.unrounded)[n])).toBeCloseTo(boundary(all.cleanLogits, n, norm2), 4);
			expect([two.outcomes[n].gradientEvaluations, all.outcomes[n].gradientEvaluations]).toEqual([1, 5]);
		}
		const nearer = ids.filter((_, n) => norm2(changes(all.unrounded)[n]) < norm2(changes(two.unrounded)[n]) - 1e-4);
		expect(nearer.length).toBeGreaterThan(0);
	});

	it("lengthens the sum, each step or the result", async () => {
		for (const overshootOf of ["sum", "step", "result"] as const) {
			const { unrounded, cleanLogits } = await run({ overshootOf, overshoot: 0.5, nudge: 1e-4 });
			for (const [n] of ids.entries()) {
				expect(norm2(changes(unrounded)[n])).toBeCloseTo(1.5 * (boundary(cleanLogits, n, norm2) + 1e-4), 4);
			}
		}
		// Where pixels are cut, the sum remembers what was cut off and a step does not.
		const hard = { images: drawn(-0.3, 1.3) };
		const taken = async (overshootOf: DeepfoolInput["overshootOf"]) =>
			(await run({ overshootOf, steps: 2, criterion: "top-k-lost", k: 4, labels: "all-true" }, hard)).unrounded.data;
		expect(await taken("sum")).not.toEqual(await taken("step"));
	});

	it("is nearer than the smallest FGSM that fools as many, image by image", async () => {
		for (const norm of ["l2", "linf"] as const) {
			const ours = await run({ norm }, {}, analytic);
			const length = (change: Float32Array) => (norm === "l2" ? norm2(change) : Math.max(...change.map(Math.abs)));
			const fgsm = ids.map(() => Number.POSITIVE_INFINITY);
			for (let epsilon = 0.001; epsilon < 1; epsilon *= 1.1) {
				const { outcomes } = await runAttack(createAttack({ name: "fgsm", norm, epsilon }), analytic, { images, ids, seed: 3 });
				outcomes.forEach((o, n) => {
					if (o.successBeforeRounding) fgsm[n] = Math.min(fgsm[n], epsilon);
				});
			}
			expect(ours.outcomes.every((o) => o.successBeforeRounding)).toBe(true);
			expect(mean(changes(ours.unrounded).map(length))).toBeLessThan(mean(fgsm));
		}
	});

	it("makes every true label lose, not only the one that leads, and to k others", async () => {
		const truth = zeros([6, 5]);
		const busy = drawn(0, 1);
		const clean = await analytic.predict(busy);
		for (const [n] of ids.entries()) for (const k of topLabels(row(clean, n).data, 2)) row(truth, n).data[k] = 1;
		const wrong = async (spec: DeepfoolInput) => {
			const { outcomes } = await run({ criterion: "top-label-wrong", ...spec }, { truth, images: busy }, analytic);
			return outcomes.filter((o) => o.successBeforeRounding).length;
		};
		expect(await wrong({ labels: "all-true" })).toBe(6);
		expect(await wrong({ labels: "all-true", criterion: "top-k-lost", k: 2 })).toBe(6);
	});

	it("does not move without a gradient, nor where every label is a true one", async () => {
		const { outcomes } = await run({}, {}, analyticClassifier({ gradient: "zero" }));
		expect(outcomes.every((o) => o.linf === 0 && o.zeroGradient && o.nanCount === 0)).toBe(true);
		const truth = tensor(new Float32Array(36).fill(1), [6, 6]);
		expect((await run({ labels: "all-true" }, { truth })).outcomes.every((o) => o.linf === 0 && o.gradientEvaluations === 0)).toBe(true);
	});

	it("gives an image the same result in any batch and order", async () => {
		const whole = await run({}, {}, analytic);
		const order = [4, 1, 3];
		const pick = (t: Tensor) => stack(order.map((n) => row(t, n)));
		const part = await run({}, { images: pick(images), ids: order.map((n) => ids[n]) }, analytic);
		expect(part.unrounded.data).toEqual(pick(whole.unrounded).data);
		expect(part.outcomes).toEqual(order.map((n) => whole.outcomes[n]));
	});
});
