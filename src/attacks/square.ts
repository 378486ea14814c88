/** @file Square Attack (Andriushchenko et al., ECCV 2020, arXiv 1912.00049): random search with forward passes only, under L-infinity and L2. */
import { z } from "zod";
import type { Random } from "../tensor/random.ts";
import { row, stack, tensor } from "../tensor/tensor.ts";
import type { Attack, AttackProblem } from "./attack.ts";
import { criterionName, labelRule, presetName, targetRule } from "./options.ts";
import { defenders } from "./rivals.ts";
import { type Proposal, proposals } from "./square-proposals.ts";
import { foolsAsStored } from "./stored.ts";
import { NORMS } from "./threat-model.ts";

export const squareFields = {
	name: z.literal("square"),
	preset: presetName,
	norm: z.enum(NORMS),
	queries: z.int().positive().describe("number of random changes tried in one run"),
	restarts: z.int().positive().describe("runs; images that are not fooled yet take part in the next one"),
	pInit: z.number().positive().max(1).describe("share of the image that the first squares cover"),
	rescaleSchedule: z.boolean().describe("squares shrink by the share of queries made instead of by their number"),
	labels: labelRule,
	target: targetRule,
	criterion: criterionName,
};

export type SquareOptions = z.output<z.ZodObject<typeof squareFields>> & { epsilon: number };

/** Queries after which the share of changed pixels halves. */
const HALVINGS = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];
/** Number of queries that `HALVINGS` were chosen for. */
const SCHEDULED = 10_000;

/** Side of the squares at a query. */
function sideAt(
	query: number,
	{ queries, pInit, rescaleSchedule }: SquareOptions,
	{ height, width }: { height: number; width: number },
): number {
	const at = rescaleSchedule ? Math.floor((query / queries) * SCHEDULED) : query;
	const p = pInit / 2 ** HALVINGS.filter((limit) => at > limit).length;
	return Math.max(1, Math.round(Math.sqrt(p * height * width)));
}

/** How far the strongest defending label is ahead of all others. */
function lead(problem: AttackProblem, n: number): (logits: Float32Array) => number {
	const defending = defenders(problem, n);
	return (logits) => {
		const tops = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
		for (let k = 0; k < logits.length; k++) {
			const side = Number(defending[k] > 0);
			tops[side] = Math.max(tops[side], logits[k]);
		}
		return tops[1] - tops[0];
	};
}

/** One image under search. */
interface Search extends Proposal {
	readonly n: number;
	readonly leadOf: (logits: Float32Array) => number;
	x: Float32Array;
	lead: number;
}

/**
 * Keeps a random change of a square if it shortens the lead of the wanted labels, or fools. An image leaves the search once it
 * fools, also after rounding to 8 bits; the others end where the lead was shortest.
 */
export const square = (options: SquareOptions): Attack<SquareOptions> => ({
	options,
	async perturb(problem) {
		const { images, cleanLogits, fooled, predict, random, progress } = problem;
		const { epsilon, norm, queries, restarts } = options;
		const [, ...dims] = images.dims;
		const [, height, width] = dims;
		const { start, next } = proposals[norm];
		const result = tensor(images.data.slice(), images.dims);
		const all = Array.from({ length: images.dims[0] }, (_, n) => n);
		const streams: Random[] = all.map((n) => random(n));
		const shortest = all.map(() => Number.POSITIVE_INFINITY);

		/** Classifies one candidate a search, keeps those that are better, and returns the searches that go on. */
		const trial = async (searches: Search[], candidates: Float32Array[]): Promise<Search[]> => {
			const points = stack(candidates.map((c) => tensor(c, dims)));
			const logits = await predict(
				searches.map(({ n }) => n),
				points,
			);
			const hit: Search[] = [];
			searches.forEach((s, i) => {
				const z = row(logits, i).data;
				const fools = fooled(s.n, z);
				const ahead = s.leadOf(z);
				if (!fools && ahead >= s.lead) return;
				s.x = candidates[i];
				s.lead = ahead;
				if (fools) hit.push(s);
			});
			if (hit.length === 0) return searches;
			const stored = await foolsAsStored(
				problem,
				options,
				hit.map(({ n }) => n),
				stack(hit.map(({ x }) => tensor(x, dims))),
			);
			const done = new Set(hit.filter((_, i) => stored[i]));
			return searches.filter((s) => !done.has(s));
		};

		let open = all.filter((n) => !fooled(n, row(cleanLogits, n).data));
		for (let run = 0; run < restarts && open.length > 0; run++) {
			const searches = open.map((n): Search => {
				const clean = row(images, n).data;
				return { n, clean, height, width, epsilon, random: streams[n], leadOf: lead(problem, n), x: clean, lead: Number.POSITIVE_INFINITY };
			});
			let active = await trial(searches, searches.map(start));
			for (let query = 0; query < queries && active.length > 0; query++) {
				const side = sideAt(query, options, { height, width });
				active = await trial(
					active,
					active.map((s) => next(s, s.x, side)),
				);
				progress((run + (query + 1) / queries) / restarts);
			}
			for (const { n, x, lead: ahead } of searches) {
				if (ahead >= shortest[n]) continue;
				shortest[n] = ahead;
				row(result, n).data.set(x);
			}
			const going = new Set(active.map(({ n }) => n));
			open = open.filter((n) => going.has(n));
		}
		return result;
	},
});
