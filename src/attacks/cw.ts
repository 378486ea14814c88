/** @file Carlini and Wagner's L2 attack (IEEE S&P 2017, arXiv 1608.04644): the shortest change that wins by a margin, found by Adam in tanh space. */
import { z } from "zod";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { adam } from "./adam.ts";
import type { Attack, AttackProblem } from "./attack.ts";
import { negated } from "./gradients.ts";
import { criterionName, eotSamples, labelRule, presetName, targetRule } from "./options.ts";

/** Which iterates count: those that meet the criterion with a margin of kappa, or all that meet the criterion (torchattacks). */
const ACCEPT = ["kappa", "criterion"] as const;

/**
 * When a descent ends before its last step, judged ten times on the way: once the loss has not fallen to 0.9999 of what it
 * was at the last judgement (Carlini, Foolbox), or has risen (torchattacks). Both judge the whole batch, we each image.
 */
const STOPS = ["never", "stalled", "risen"] as const;

/** Pixels at exactly 0 or 1 have no finite place in tanh space: pulled in by a millionth (Carlini, Foolbox), or left where they are (torchattacks). */
const SATURATED = ["move", "stay"] as const;

export const cwFields = {
	name: z.literal("cw"),
	preset: presetName,
	norm: z.literal("l2"),
	kappa: z.number().nonnegative().describe("margin in logits that is aimed for (confidence)"),
	c: z.number().positive().describe("weight of the margin against the squared distance; the first one of a search"),
	searchSteps: z.int().positive().describe("values of c, ten times larger until one succeeds, then by bisection; 1: c is fixed"),
	steps: z.int().positive().describe("Adam steps for each c"),
	learningRate: z.number().positive().describe("step size of Adam in tanh space"),
	accept: z.enum(ACCEPT).describe("iterates that count as found: with a margin of kappa, or all that meet the criterion"),
	stop: z.enum(STOPS).describe("when a descent ends early: its loss has stalled (Carlini), or risen (torchattacks)"),
	saturated: z.enum(SATURATED).describe("whether pixels at exactly 0 or 1 can move"),
	labels: labelRule,
	target: targetRule,
	eot: eotSamples,
	criterion: criterionName,
};

export type CwOptions = z.output<z.ZodObject<typeof cwFields>> & { epsilon: number };

const SHRINK = 0.999999;
const STALLED = 0.9999;
/** From so many values of c on, Carlini's search spends the last one on the smallest c that succeeded, but no larger than this. */
const REPEAT_FROM = 10;
const LARGEST_C = 1e10;

/** What the classifier says of an iterate: its margin, that margin's gradient `[D]`, and whether the criterion is met. */
interface Seen {
	margin: number;
	gradient: Float32Array;
	fooled: boolean;
}

/**
 * The search of one image: yields iterates `[D]`, is told what the classifier sees in them, and returns the nearest one that
 * counts, or the clean image. Each c has a descent of its own on |x - clean|^2 + c max(0, kappa - margin), x = (tanh w + 1) / 2.
 */
function* search(pixels: Float32Array, options: CwOptions): Generator<Float32Array, Float32Array, Seen> {
	const { kappa, searchSteps, steps, learningRate, accept, stop, saturated } = options;
	const shrink = saturated === "move" ? SHRINK : 1;
	const origin = pixels.map((v) => Math.atanh((2 * v - 1) * shrink));
	const clean = origin.map((w) => (Math.tanh(w) + 1) / 2);
	const judgedEvery = stop === "risen" ? Math.max(1, Math.floor(steps / 10)) : Math.ceil(steps / 10);
	let best = pixels;
	let nearest = Number.POSITIVE_INFINITY;
	let [lower, upper, c] = [0, Number.POSITIVE_INFINITY, options.c];
	for (let tried = 1; tried <= searchSteps; tried++) {
		const w = origin.slice();
		const descend = adam(w.length, { learningRate });
		let found = false;
		let before = Number.POSITIVE_INFINITY;
		for (let t = 0; t < steps; t++) {
			const tanh = w.map(Math.tanh);
			const x = tanh.map((v) => (v + 1) / 2);
			const { margin, gradient, fooled } = yield x;
			const squared = squaredDistance(x, clean);
			const missing = Math.max(0, kappa - margin);
			const loss = squared + c * missing;
			const judged = t % judgedEvery === 0;
			if (judged && stop === "stalled" && !(loss <= STALLED * before)) break;
			if (fooled && (accept === "criterion" || missing === 0)) {
				found = true;
				if (squared < nearest) [nearest, best] = [squared, x];
			}
			if (judged && stop === "risen" && loss > before) break;
			if (judged) before = loss;
			const pull = missing > 0 ? c : 0;
			descend(
				w,
				tanh.map((v, i) => (2 * (x[i] - clean[i]) - pull * gradient[i]) * ((1 - v * v) / 2)),
			);
		}
		if (found) upper = c;
		else lower = c;
		c = upper === Number.POSITIVE_INFINITY ? c * 10 : (lower + upper) / 2;
		if (searchSteps >= REPEAT_FROM && tried === searchSteps - 1) c = Math.min(upper, LARGEST_C);
	}
	return best;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
	return sum;
}

/**
 * Margins of candidates and their gradients: how far all targets lead, the best other label beats the wanted ones, or the k-th best does. Of one
 * label and k = 1 all three are the margin of the paper.
 */
async function margins(
	{ lossGradient, wanted, targeted }: AttackProblem,
	{ criterion }: CwOptions,
	rows: readonly number[],
	candidates: Tensor,
) {
	const labels = stack(rows.map((n) => tensor(wanted(n), [wanted(n).length])));
	if (targeted) return negated(await lossGradient("margin", rows, candidates, labels));
	return lossGradient(criterion === "top-k-lost" ? "ranking" : "set-margin", rows, candidates, labels);
}

/** min |x' - x|^2 + c max(0, kappa - margin(x')): the searches of all images side by side, each with its own c; those that are through leave the batch. */
export const cw = (options: CwOptions): Attack<CwOptions> => ({
	options,
	async perturb(problem) {
		const { images, fooled, progress } = problem;
		const found = tensor(images.data.slice(), images.dims);
		let open = Array.from({ length: images.dims[0] }, (_, n) => {
			const run = search(row(images, n).data, options);
			return { n, run, x: run.next().value };
		});
		for (let t = 1; open.length > 0; t++) {
			const rows = open.map(({ n }) => n);
			const points = stack(open.map(({ x }) => tensor(x, images.dims.slice(1))));
			const { loss, logits, gradient } = await margins(problem, options, rows, points);
			open = open.filter((image, i) => {
				const seen = { margin: loss[i], gradient: row(gradient, i).data, fooled: fooled(image.n, row(logits, i).data) };
				const { value, done } = image.run.next(seen);
				if (done) row(found, image.n).data.set(value);
				image.x = value;
				return !done;
			});
			progress(open.length === 0 ? 1 : t / (options.searchSteps * options.steps));
		}
		return found;
	},
});
