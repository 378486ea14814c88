/** @file Fast adaptive boundary attack (Croce and Hein, ICML 2020, arXiv 1907.02044), targeted and untargeted, under L-infinity and L2. */
import { z } from "zod";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import type { Attack, AttackProblem } from "./attack.ts";
import { towardsPlane } from "./hyperplane.ts";
import { criterionName, labelRule, presetName, targetRule } from "./options.ts";
import { best, defenders, rivals } from "./rivals.ts";
import { foolsAsStored } from "./stored.ts";
import { atDistance, lengthOf } from "./surface.ts";
import { NORMS, type Norm, type ThreatModel, UNBOUNDED } from "./threat-model.ts";

const share = z.number().min(0).max(1);

export const fabFields = {
	name: z.literal("fab"),
	preset: presetName,
	norm: z.enum(NORMS),
	steps: z.int().positive().describe("number of gradient steps of one run"),
	restarts: z
		.int()
		.positive()
		.describe("runs, all but the first from a random start; images that are not fooled yet take part in the next one"),
	targetClasses: z
		.int()
		.nonnegative()
		.describe(
			"number of other labels that are tried one after the other (FAB-T); 0: the nearest of all, for one gradient a label and step",
		),
	alphaMax: share.describe("largest weight of the clean image's projection against that of the current point"),
	eta: z.number().positive().describe("factor by which a projection overshoots the boundary"),
	beta: share.describe("share of the change that is kept when a point behind the boundary steps back"),
	earlyStop: z.boolean().describe("images leave the run once they meet the criterion within epsilon, also after rounding to 8 bits"),
	labels: labelRule,
	target: targetRule,
	criterion: criterionName,
};

export type FabOptions = z.output<z.ZodObject<typeof fabFields>> & { epsilon: number };

/** The classifier's boundary to a rival label as it looks from a point: logit difference and its gradient `[D]`. */
interface Boundary {
	gap: number;
	normal: Float32Array;
}

/** One image on its way along the boundary. */
export interface Walk {
	readonly n: number;
	readonly clean: Float32Array;
	x: Float32Array;
	/** Logits `[K]` of the last point that was classified. */
	logits: Float32Array;
	/** The nearest point that met the criterion, and its distance. */
	nearest?: Float32Array;
	distance: number;
}

/** The boundary between the strongest wanted label and a rival: z_rival - z_own, linearised at the walk's point. */
async function boundaries(
	problem: AttackProblem,
	duels: readonly { walk: Walk; rival: number }[],
	dims: readonly number[],
): Promise<Boundary[]> {
	const targets = duels.map(({ walk, rival }) => {
		const defending = defenders(problem, walk.n);
		const sides = new Float32Array(defending.length);
		sides[best(walk.logits, (k) => defending[k] > 0)] = -1;
		sides[rival] = 1;
		return tensor(sides, [sides.length]);
	});
	const points = stack(duels.map(({ walk }) => tensor(walk.x, dims)));
	const rows = duels.map(({ walk }) => walk.n);
	const { loss, gradient } = await problem.lossGradient("linear", rows, points, stack(targets));
	return duels.map((_, i) => ({ gap: loss[i], normal: row(gradient, i).data }));
}

/** Distance of the linearised boundary: |gap| over the dual norm of its normal. */
function distanceTo({ gap, normal }: Boundary, norm: Norm): number {
	const dual = norm === "l2" ? lengthOf(normal, norm) : normal.reduce((sum, v) => sum + Math.abs(v), 0);
	return Math.abs(gap) / (1e-12 + dual);
}

/** Which boundary each walk heads for: that of the rival with this rank, or the nearest one of all (`rank` undefined). */
async function nextBoundaries(problem: AttackProblem, walks: readonly Walk[], rank: number | undefined, norm: Norm): Promise<Boundary[]> {
	const dims = problem.images.dims.slice(1);
	if (rank !== undefined)
		return boundaries(
			problem,
			walks.map((walk) => ({ walk, rival: rivals(problem, walk.n)[rank] })),
			dims,
		);
	const found: Boundary[] = [];
	for (const walk of walks) {
		const all = await boundaries(
			problem,
			rivals(problem, walk.n).map((rival) => ({ walk, rival })),
			dims,
		);
		found.push(all.reduce((a, b) => (distanceTo(b, norm) < distanceTo(a, norm) ? b : a)));
	}
	return found;
}

/** Keeps a length that divides away from zero. */
const SHORTEST = 1e-8;

/**
 * x <- (1 - alpha) (x + eta d(x)) + alpha (x_0 + eta d(x_0)), with d the projection on the boundary and alpha from their lengths.
 */
function step(walk: Walk, { gap, normal }: Boundary, { norm, alphaMax, eta }: Pick<FabOptions, "norm" | "alphaMax" | "eta">): void {
	const { x, clean } = walk;
	const offset = normal.reduce((sum, v, i) => sum + v * x[i], -gap);
	const [fromHere, fromClean] = [x, clean].map((point) => towardsPlane(point, normal, offset, norm));
	const [here, there] = [fromHere, fromClean].map((d) => Math.max(SHORTEST, lengthOf(d, norm)));
	const alpha = Math.min(here / (here + there), alphaMax);
	walk.x = x.map((v, i) => Math.min(1, Math.max(0, (v + eta * fromHere[i]) * (1 - alpha) + (clean[i] + eta * fromClean[i]) * alpha)));
}

export type WalkOptions = ThreatModel & Pick<FabOptions, "steps" | "alphaMax" | "eta" | "beta" | "earlyStop">;

/** One run for `rows` from the points `starts` `[rows.length, 3, H, W]` along the boundary to the rival of this rank (undefined: to the nearest). */
export async function walkBoundary(
	problem: AttackProblem,
	options: WalkOptions,
	rows: readonly number[],
	starts: Tensor,
	rank: number | undefined,
	onStep: (done: number) => void = () => {},
): Promise<Walk[]> {
	const { images, cleanLogits, predict, fooled } = problem;
	const { steps, norm, epsilon, beta, earlyStop } = options;
	const pointsOf = (walks: readonly Walk[]) => stack(walks.map(({ x }) => tensor(x, images.dims.slice(1))));
	const all = rows.map(
		(n, i): Walk => ({
			...{ n, clean: row(images, n).data, x: row(starts, i).data },
			...{ logits: row(cleanLogits, n).data, distance: Number.POSITIVE_INFINITY },
		}),
	);
	let active = all;
	for (let t = 0; t < steps && active.length > 0; t++) {
		const ahead = await nextBoundaries(problem, active, rank, norm);
		for (const [i, walk] of active.entries()) step(walk, ahead[i], options);
		const points = pointsOf(active);
		const logits = await predict(
			active.map(({ n }) => n),
			points,
		);
		const within: Walk[] = [];
		active.forEach((walk, i) => {
			walk.logits = row(logits, i).data;
			if (!fooled(walk.n, walk.logits)) return;
			const { x, clean } = walk;
			const distance = lengthOf(
				x.map((v, j) => v - clean[j]),
				norm,
			);
			if (distance < walk.distance) {
				walk.nearest = x;
				walk.distance = distance;
				if (distance <= epsilon) within.push(walk);
			}
			walk.x = x.map((v, j) => clean[j] + (v - clean[j]) * beta);
		});
		onStep((t + 1) / steps);
		if (!earlyStop || within.length === 0) continue;
		const found = stack(within.map(({ nearest, x }) => tensor(nearest ?? x, images.dims.slice(1))));
		const stored = await foolsAsStored(
			problem,
			options,
			within.map(({ n }) => n),
			found,
		);
		const done = new Set(within.filter((_, i) => stored[i]));
		active = active.filter((walk) => !done.has(walk));
	}
	return all;
}

/** Radius around the clean image for random starts without a budget, as in the original. */
const USUAL: Readonly<Record<Norm, number>> = { linf: 0.3, l2: 1 };

/**
 * Returned is the nearest point that met the criterion within epsilon, or else the clean image. With a budget an image that is
 * fooled within it takes part in no further run; without one all labels are tried and the nearest point of all counts.
 */
export const fab = (options: FabOptions): Attack<FabOptions> => ({
	options,
	async perturb(problem) {
		const { images, cleanLogits, fooled, random, progress } = problem;
		const { norm, epsilon, restarts, targetClasses } = options;
		const dims = images.dims.slice(1);
		const result = tensor(images.data.slice(), images.dims);
		const all = Array.from({ length: images.dims[0] }, (_, n) => n);
		const streams = all.map((n) => random(n));
		const nearest = all.map(() => Number.POSITIVE_INFINITY);
		const radius = Math.min(epsilon, USUAL[norm]) / 2;
		const runs = Math.max(1, targetClasses) * restarts;
		let open = all.filter((n) => !fooled(n, row(cleanLogits, n).data));
		for (let run = 0; run < runs; run++) {
			const rank = targetClasses === 0 ? undefined : Math.floor(run / restarts);
			const rows = open.filter((n) => (rank ?? 0) < rivals(problem, n).length);
			if (rows.length === 0) break;
			const startOf = (n: number) =>
				run % restarts === 0 ? row(images, n).data : atDistance(radius, row(images, n).data, norm, streams[n]);
			const starts = stack(rows.map((n) => tensor(startOf(n), dims)));
			const walks = await walkBoundary(problem, options, rows, starts, rank, (done) => progress((run + done) / runs));
			for (const { n, nearest: found, distance } of walks) {
				if (!found || distance > epsilon || distance >= nearest[n]) continue;
				nearest[n] = distance;
				row(result, n).data.set(found);
			}
			if (epsilon < UNBOUNDED) open = open.filter((n) => !Number.isFinite(nearest[n]));
		}
		return result;
	},
});
