/** @file AutoPGD, with the cross-entropy, the DLR or the targeted DLR loss (Croce and Hein, ICML 2020, arXiv 2003.01690), under L-infinity and L2. */
import { z } from "zod";
import type { LossGradient } from "../models/classifier.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { step } from "./ascent.ts";
import { type Attack, type AttackProblem, objectiveOf } from "./attack.ts";
import { criterionName, eotSamples, labelRule, lossName, presetName, targetRule } from "./options.ts";
import { defenders, rivals } from "./rivals.ts";
import { foolsAsStored } from "./stored.ts";
import { atDistance } from "./surface.ts";
import { NORMS, project, type ThreatModel } from "./threat-model.ts";

export const apgdFields = {
	name: z.literal("apgd"),
	preset: presetName,
	norm: z.enum(NORMS),
	steps: z.int().positive().describe("number of gradient steps of one run"),
	restarts: z.int().positive().describe("runs from random starts; images that are not fooled yet take part in the next one"),
	eot: eotSamples,
	loss: z
		.enum([...lossName.options, "dlr-targeted"])
		.describe("loss that the attack raises; dlr-targeted: one run for each of the most likely other labels"),
	targetClasses: z.int().positive().describe("number of other labels that dlr-targeted tries one after the other"),
	earlyStop: z.boolean().describe("images leave the run once they meet the criterion, also after rounding to 8 bits"),
	labels: labelRule,
	target: targetRule,
	criterion: criterionName,
};

export type ApgdOptions = z.output<z.ZodObject<typeof apgdFields>> & { epsilon: number };

/** Weight of the new step against the last one. */
const MOMENTUM = 0.75;
/** A step size stays only if the loss rose in more than this share of the steps since the last checkpoint. */
const RHO = 0.75;

/** Numbers of steps between checkpoints: 0.22 of all at first, then each 0.03 shorter than the one before, but at least 0.06. */
function* intervals(steps: number): Generator<number> {
	const share = (part: number) => Math.max(1, Math.floor(part * steps));
	for (let length = share(0.22); ; length = Math.max(length - share(0.03), share(0.06))) yield length;
}

/** One image on its way up. */
export interface Climb {
	readonly n: number;
	readonly clean: Float32Array;
	/** The point of the highest loss. */
	best: Float32Array;
	bestLoss: number;
	/** The last point that met the criterion. */
	adversarial?: Float32Array;
	x: Float32Array;
	previous: Float32Array;
	gradient: Float32Array;
	bestGradient: Float32Array;
	stepSize: number;
	/** Loss at the step before, and how often it rose since the last checkpoint. */
	loss: number;
	rises: number;
	/** What the last checkpoint saw and did. */
	checkedLoss: number;
	halved: boolean;
}

type Look = (rows: readonly number[], candidates: Tensor) => Promise<LossGradient>;

export interface ClimbOptions extends ThreatModel {
	readonly steps: number;
	readonly earlyStop: boolean;
}

/** One run for `rows` from the points `starts` `[rows.length, 3, H, W]`, which lie inside the budget. */
export async function climb(
	problem: Pick<AttackProblem, "images" | "predict" | "fooled">,
	options: ClimbOptions,
	rows: readonly number[],
	starts: Tensor,
	look: Look,
	onStep: (done: number) => void = () => {},
): Promise<Climb[]> {
	const { images, fooled } = problem;
	const { steps, norm, epsilon, earlyStop } = options;
	const pointsOf = (climbs: readonly Climb[]) => stack(climbs.map(({ x }) => tensor(x, images.dims.slice(1))));

	/** Notes who is adversarial; returns those that go on. */
	const judge = async (climbs: Climb[], { logits }: LossGradient): Promise<Climb[]> => {
		const hit = climbs.filter(({ n }, i) => fooled(n, row(logits, i).data));
		for (const c of hit) c.adversarial = c.x;
		if (!earlyStop || hit.length === 0) return climbs;
		const rowsHit = hit.map(({ n }) => n);
		const stored = await foolsAsStored(problem, options, rowsHit, pointsOf(hit));
		const done = new Set(hit.filter((_, i) => stored[i]));
		return climbs.filter((c) => !done.has(c));
	};

	const first = await look(rows, starts);
	const all = rows.map((n, i): Climb => {
		const x = row(starts, i).data.slice();
		const gradient = row(first.gradient, i).data;
		const bestLoss = first.loss[i];
		return {
			...{ n, clean: row(images, n).data, x, previous: x, gradient, stepSize: 2 * epsilon },
			...{ best: x, bestGradient: gradient, bestLoss, checkedLoss: bestLoss, halved: true },
			// The original compares the first loss of a run with zero.
			...{ loss: 0, rises: 0 },
		};
	});
	let active = await judge(all, first);
	const lengths = intervals(steps);
	let interval = lengths.next().value;
	for (let t = 0, since = 0; t < steps && active.length > 0; t++) {
		for (const c of active) move(c, t > 0 ? MOMENTUM : 1, { norm, epsilon });
		const looked = await look(
			active.map(({ n }) => n),
			pointsOf(active),
		);
		active.forEach((c, i) => {
			note(c, looked.loss[i], row(looked.gradient, i).data);
		});
		const going = await judge(active, looked);
		if (++since === interval) {
			for (const c of going) check(c, interval);
			interval = lengths.next().value;
			since = 0;
		}
		active = going;
		onStep((t + 1) / steps);
	}
	return all;
}

/** x <- P(x + a (z - x) + (1 - a) (x - previous x)), with z = P(x + step size * direction) and P the projection to the budget. */
function move(c: Climb, a: number, budget: ThreatModel): void {
	const { x, previous, clean } = c;
	const next = x.slice();
	step(next, c.gradient, c.stepSize, budget.norm);
	project(next, clean, budget);
	for (let i = 0; i < next.length; i++) next[i] = x[i] + (next[i] - x[i]) * a + (x[i] - previous[i]) * (1 - a);
	project(next, clean, budget);
	c.previous = x;
	c.x = next;
}

function note(c: Climb, loss: number, gradient: Float32Array): void {
	c.gradient = gradient;
	if (loss > c.loss) c.rises++;
	c.loss = loss;
	if (loss <= c.bestLoss) return;
	c.best = c.x;
	c.bestLoss = loss;
	c.bestGradient = gradient;
}

/** Halves the step size and goes back to the best point if the loss rose too rarely, or not at all since the last checkpoint. */
function check(c: Climb, interval: number): void {
	const stalled = !c.halved && c.checkedLoss >= c.bestLoss;
	c.halved = c.rises <= RHO * interval || stalled;
	c.checkedLoss = c.bestLoss;
	c.rises = 0;
	if (!c.halved) return;
	c.stepSize /= 2;
	c.x = c.best;
	c.gradient = c.bestGradient;
}

/** What the images climb in a run; `rival` counts the labels that shall overtake the wanted ones, most likely first. */
function lookFor(problem: AttackProblem, { loss }: ApgdOptions, rows: readonly number[], rival: number): Look {
	if (loss !== "dlr-targeted") return objectiveOf(loss, problem);
	const duels = new Map(
		rows.map((n) => {
			const targets = defenders(problem, n).slice();
			targets[rivals(problem, n)[rival]] = -1;
			return [n, tensor(targets, [targets.length])];
		}),
	);
	const targetsOf = (asked: readonly number[]) => stack(asked.map((n) => duels.get(n) as Tensor));
	return (asked, candidates) => problem.lossGradient(loss, asked, candidates, targetsOf(asked));
}

/**
 * Each run takes the images that are not fooled yet. Returned is the last point of a run that met the criterion, or else the
 * point of the highest loss; images whose clean version meets it already stay as they are.
 */
export const apgd = (options: ApgdOptions): Attack<ApgdOptions> => ({
	options,
	async perturb(problem) {
		const { images, cleanLogits, fooled, random, progress } = problem;
		const { norm, epsilon, restarts, loss, targetClasses } = options;
		const result = tensor(images.data.slice(), images.dims);
		const all = Array.from({ length: images.dims[0] }, (_, n) => n);
		const streams = all.map((n) => random(n));
		const highest = all.map(() => Number.NEGATIVE_INFINITY);
		const classes = loss === "dlr-targeted" ? targetClasses : 1;
		let open = all.filter((n) => !fooled(n, row(cleanLogits, n).data));
		for (let run = 0; run < classes * restarts && open.length > 0; run++) {
			const rival = Math.floor(run / restarts);
			const rows = loss === "dlr-targeted" ? open.filter((n) => rival < rivals(problem, n).length) : open;
			if (rows.length === 0) break;
			const starts = stack(rows.map((n) => tensor(atDistance(epsilon, row(images, n).data, norm, streams[n]), images.dims.slice(1))));
			const climbs = await climb(problem, options, rows, starts, lookFor(problem, options, rows, rival), (done) =>
				progress((run + done) / (classes * restarts)),
			);
			const beaten = new Set<number>();
			for (const { n, best, bestLoss, adversarial } of climbs) {
				if (adversarial) beaten.add(n);
				else if (bestLoss <= highest[n]) continue;
				highest[n] = bestLoss;
				row(result, n).data.set(adversarial ?? best);
			}
			open = open.filter((n) => !beaten.has(n));
		}
		return result;
	},
});
