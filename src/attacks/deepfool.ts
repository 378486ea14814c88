/** @file DeepFool (Moosavi-Dezfooli et al., CVPR 2016, arXiv 1511.04599) under L2 and L-infinity: steps to the nearest boundary of a linearised classifier. */
import { z } from "zod";
import { clone, row, sizeOf, stack, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import { type Attack, type AttackProblem, takeRows } from "./attack.ts";
import { argmax } from "./criteria.ts";
import { criterionName, eotSamples, labelRule, pixelAmount, presetName } from "./options.ts";
import { oneHot } from "./targets.ts";
import { NORMS, type Norm, norm2 } from "./threat-model.ts";

/**
 * What the overshoot lengthens: the sum of all steps, anew after each (DeepFool, Foolbox); each step alone (torchattacks), which
 * differs where pixels are cut to [0, 1]; or the result, once (ART).
 */
const OVERSHOOT_OF = ["sum", "step", "result"] as const;

export const deepfoolFields = {
	name: z.literal("deepfool"),
	preset: presetName,
	norm: z.enum(NORMS),
	steps: z.int().positive().describe("largest number of steps; an image that meets the criterion leaves the batch"),
	candidates: z
		.union([z.int().min(2), z.literal("all")])
		.describe("labels that are considered, by their logit on the clean image and with the one moved away from"),
	overshoot: z.number().nonnegative().describe("share by which the change is lengthened, to get across the boundary"),
	overshootOf: z.enum(OVERSHOOT_OF).describe("what is lengthened: the sum of the steps, each step, or the result"),
	nudge: pixelAmount.describe("added to the length of each step, to get across the boundary"),
	labels: labelRule,
	target: z.literal("none"),
	eot: eotSamples,
	criterion: criterionName,
};

export type DeepfoolOptions = z.output<z.ZodObject<typeof deepfoolFields>> & { epsilon: number };

/** Keeps the division by a gradient of zero finite. */
const TINY = 1e-8;

/** Values of gradients that are computed at once: bounds the memory for large canvases with many candidates. */
const AT_ONCE = 2 ** 25;

/** The labels that image `n` may be pushed towards: those outside the wanted set with the largest clean logits. */
function rivalsOf({ cleanLogits, wanted }: AttackProblem, n: number, candidates: DeepfoolOptions["candidates"]): number[] {
	const logits = row(cleanLogits, n).data;
	const outside = [...logits.keys()].filter((k) => wanted(n)[k] === 0).sort((a, b) => logits[b] - logits[a] || a - b);
	return candidates === "all" ? outside : outside.slice(0, candidates - 1);
}

/** An image that is not through: its logits `[K]`, the wanted label that leads, and the labels it may be pushed towards. */
interface Standing {
	n: number;
	logits: Float32Array;
	own: number;
	rivals: readonly number[];
}

/** Gradients of z_rival - z_own, rival by rival, for each of some images: one call. */
async function slopesOf({ lossGradient }: AttackProblem, standings: readonly Standing[], x: Tensor): Promise<Float32Array[][]> {
	const pairs = standings.flatMap(({ n, logits, own, rivals }) =>
		rivals.map((rival) => {
			const target = oneHot(rival, logits.length);
			target[own] = -1;
			return { n, target: tensor(target, [target.length]) };
		}),
	);
	const rows = pairs.map(({ n }) => n);
	const { gradient } = await lossGradient("linear", rows, takeRows(x, rows), stack(pairs.map(({ target }) => target)));
	let next = 0;
	return standings.map(({ rivals }) => rivals.map(() => row(gradient, next++).data));
}

/** What one unit of change gains along a slope: its length in the dual norm. */
const gain = (slope: Float32Array, norm: Norm): number =>
	TINY + (norm === "l2" ? norm2(slope) : slope.reduce((sum, v) => sum + Math.abs(v), 0));

/** The smallest change that closes the nearest gap, were the classifier linear; longer by `nudge`. */
function nearestStep({ logits, own, rivals }: Standing, slopes: readonly Float32Array[], { norm, nudge }: DeepfoolOptions): Float32Array {
	const gains = slopes.map((slope) => gain(slope, norm));
	const distances = rivals.map((k, i) => Math.abs(logits[k] - logits[own]) / gains[i]);
	const nearest = distances.indexOf(Math.min(...distances));
	const length = distances[nearest] + nudge;
	return slopes[nearest].map((v) => length * (norm === "l2" ? v / gains[nearest] : Math.sign(v)));
}

const clip = (v: number) => Math.min(1, Math.max(0, v));

/** x <- x + the smallest change that would reach another label, were the classifier linear, until the criterion is met. */
export const deepfool = (options: DeepfoolOptions): Attack<DeepfoolOptions> => ({
	options,
	async perturb(problem) {
		const { images, cleanLogits, fooled, wanted, predict, progress } = problem;
		const { steps, candidates, overshoot, overshootOf } = options;
		const longer = 1 + overshoot;
		const [x, sums] = [clone(images), zeros(images.dims)];
		let active = Array.from({ length: images.dims[0] }, (_, n) => n);
		const rivals = active.map((n) => rivalsOf(problem, n, candidates));
		const most = Math.max(1, ...rivals.map((labels) => labels.length)) * sizeOf(images.dims.slice(1));
		const atOnce = Math.max(1, Math.floor(AT_ONCE / most));

		function stand(n: number, logits: Float32Array): Standing {
			const own = argmax(logits.map((z, k) => (wanted(n)[k] > 0 ? z : Number.NEGATIVE_INFINITY)));
			const behind = rivals[n].filter((k) => logits[k] <= logits[own]);
			return { n, logits, own, rivals: behind.length > 0 ? behind : rivals[n] };
		}

		function move(n: number, step: Float32Array): void {
			const [pixels, clean, sum] = [row(x, n).data, row(images, n).data, row(sums, n).data];
			for (let i = 0; i < pixels.length; i++) {
				sum[i] += step[i];
				if (overshootOf === "sum") pixels[i] = clip(clean[i] + longer * sum[i]);
				else pixels[i] = clip(pixels[i] + (overshootOf === "step" ? longer : 1) * step[i]);
			}
		}

		for (let t = 0; t < steps && active.length > 0; t++) {
			const logits = t === 0 ? cleanLogits : await predict(active, takeRows(x, active));
			const open = active.map((n, i) => stand(n, row(logits, i).data)).filter((s) => s.rivals.length > 0 && !fooled(s.n, s.logits));
			for (let from = 0; from < open.length; from += atOnce) {
				const some = open.slice(from, from + atOnce);
				const slopes = await slopesOf(problem, some, x);
				for (const [i, standing] of some.entries()) move(standing.n, nearestStep(standing, slopes[i], options));
			}
			active = open.map(({ n }) => n);
			progress((t + 1) / steps);
		}
		if (overshootOf === "result")
			return tensor(
				x.data.map((v, i) => clip(images.data[i] + longer * (v - images.data[i]))),
				x.dims,
			);
		return x;
	},
});
