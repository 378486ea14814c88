/** @file Attacks that carry over to other networks: MI-FGSM, DI-FGSM and TI-FGSM, as torchattacks 3.5.1 defines them. */
import { z } from "zod";
import type { LossGradient } from "../models/classifier.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { ascend, startAt } from "./ascent.ts";
import type { Attack, AttackProblem } from "./attack.ts";
import { drawView, type View } from "./diversity.ts";
import { criterionName, eotSamples, labelRule, lossName, pixelAmount, presetName, targetRule } from "./options.ts";
import { NORMS, project } from "./threat-model.ts";
import { gaussian, smooth } from "./translation.ts";

const shared = {
	preset: presetName,
	norm: z.enum(NORMS),
	stepSize: pixelAmount,
	steps: z.int().positive().describe("number of gradient steps"),
	start: z.enum(["clean", "uniform"]).describe("where the iteration starts"),
	decay: z.number().nonnegative().describe("weight of the gradients of earlier steps (momentum)"),
	loss: lossName,
	labels: labelRule,
	eot: eotSamples,
	target: targetRule,
	criterion: criterionName,
};

const diversityFields = {
	diversity: z.number().min(0).max(1).describe("probability that a gradient is that of a smaller copy of the image"),
	resizeRate: z.number().gt(0).lt(1).describe("smallest side of that copy, as a share of the image's"),
};

const translationFields = {
	kernel: z
		.int()
		.positive()
		.refine((side) => side % 2 === 1, "expected an odd number")
		.describe("side of the Gaussian kernel that smooths the gradient, in pixels"),
	kernelReach: z.number().positive().describe("standard deviations from the kernel's middle to its outermost pixel"),
};

export const miFgsmFields = { name: z.literal("mi-fgsm"), ...shared };
export const diFgsmFields = { name: z.literal("di-fgsm"), ...shared, ...diversityFields };
export const tiFgsmFields = { name: z.literal("ti-fgsm"), ...shared, ...diversityFields, ...translationFields };

type Fields =
	| z.output<z.ZodObject<typeof miFgsmFields>>
	| z.output<z.ZodObject<typeof diFgsmFields>>
	| z.output<z.ZodObject<typeof tiFgsmFields>>;
export type TransferOptions = Fields & { epsilon: number };

/**
 * g_{t+1} = decay * g_t + G / mean|G|; x_{t+1} = project(x_t + stepSize * sign(g_{t+1})). G is the gradient of the objective at
 * x_t (MI-FGSM, Dong et al., CVPR 2018, arXiv 1710.06081), through a random smaller copy of it (DI-FGSM), or that smoothed
 * with a Gaussian (TI-FGSM).
 */
export const transfer = (options: TransferOptions): Attack<TransferOptions> => ({
	options,
	async perturb(problem) {
		const { images, random, progress } = problem;
		const { norm, epsilon, stepSize, steps, start, decay } = options;
		const [count, , height, width] = images.dims;
		const budget = { norm, epsilon };
		const rows = Array.from({ length: count }, (_, n) => n);
		const streams = rows.map(random);
		const x = tensor(images.data.slice(), images.dims);
		for (const n of rows) {
			startAt(start, row(x, n).data, budget, streams[n]);
			project(row(x, n).data, row(images, n).data, budget);
		}
		const momentum = rows.map(() => new Float32Array(x.data.length / count));
		const kernel = options.name === "ti-fgsm" ? gaussian(options) : undefined;
		const direction = (n: number, gradient: Float32Array): Float32Array => {
			const seen = kernel ? smooth(gradient, { height, width }, kernel) : gradient;
			const scale = 1 / (meanSize(seen) || 1);
			momentum[n] = momentum[n].map((m, i) => decay * m + scale * seen[i]);
			return momentum[n];
		};
		const look: Look = (active, candidates) =>
			options.name === "mi-fgsm"
				? problem.objective(active, candidates)
				: throughViews(problem, { rows: active, candidates, views: active.map((n) => drawView(streams[n], { height, width }, options)) });
		await ascend(x, { images, rows, budget, stepSize, steps, look, direction, onStep: (done) => progress(done / steps) });
		return x;
	},
});

type Look = AttackProblem["objective"];

/** The objective at each candidate's view, and its gradient with respect to the candidate. */
async function throughViews(
	{ objective }: AttackProblem,
	{ rows, candidates, views }: { rows: readonly number[]; candidates: Tensor; views: readonly View[] },
): Promise<LossGradient> {
	const each = (t: Tensor, f: (view: View, values: Float32Array) => Float32Array) =>
		stack(views.map((view, i) => tensor(f(view, row(t, i).data), t.dims.slice(1))));
	const seen = await objective(
		rows,
		each(candidates, (view, pixels) => view.apply(pixels)),
	);
	return { ...seen, gradient: each(seen.gradient, (view, gradient) => view.adjoint(gradient)) };
}

const meanSize = (values: Float32Array): number => values.reduce((sum, v) => sum + Math.abs(v), 0) / values.length;
