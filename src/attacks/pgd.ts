/** @file Projected gradient descent (Madry et al., ICLR 2018, arXiv 1706.06083) under L-infinity and L2, with restarts. */
import { z } from "zod";
import { row, tensor } from "../tensor/tensor.ts";
import { ascend, STARTS, startAt } from "./ascent.ts";
import { type Attack, type AttackProblem, takeRows } from "./attack.ts";
import { criterionName, eotSamples, labelRule, lossName, pixelAmount, presetName, targetRule } from "./options.ts";
import { NORMS, project } from "./threat-model.ts";

export const pgdFields = {
	name: z.literal("pgd"),
	preset: presetName,
	norm: z.enum(NORMS),
	stepSize: pixelAmount,
	steps: z.int().positive().describe("number of gradient steps"),
	start: z.enum(STARTS).describe("where the iteration starts; from `clean` it is the basic iterative method (BIM)"),
	restarts: z.int().positive().exactOptional().describe("random starts, of which each image keeps the best; default 1"),
	clipFirst: z.boolean().exactOptional().describe("pixels are cut to [0, 1] before the projection on the ball, too (ART); default no"),
	earlyStop: z.boolean().describe("images that meet the criterion leave the batch"),
	loss: lossName,
	labels: labelRule,
	eot: eotSamples,
	target: targetRule,
	criterion: criterionName,
};

export type PgdOptions = z.output<z.ZodObject<typeof pgdFields>> & { epsilon: number };

/**
 * x_0 = start; x_{t+1} = project(x_t + stepSize * direction(d objective / dx_t)); the last iterate counts. With restarts an
 * image keeps its first last iterate that meets the criterion, or else the one with the largest objective.
 */
export const pgd = (options: PgdOptions): Attack<PgdOptions> => ({
	options,
	async perturb(problem) {
		const { images, fooled, random, objective, progress } = problem;
		const { restarts = 1 } = options;
		const x = tensor(images.data.slice(), images.dims);
		let open = Array.from({ length: images.dims[0] }, (_, n) => n);
		const streams = open.map(random);
		const best = tensor(images.data.slice(), images.dims);
		const highest = open.map(() => Number.NEGATIVE_INFINITY);
		for (let restart = 0; restart < restarts && open.length > 0; restart++) {
			for (const n of open) {
				const pixels = row(x, n).data;
				pixels.set(row(images, n).data);
				startAt(options.start, pixels, options, streams[n]);
				project(pixels, row(images, n).data, options);
			}
			const onStep = (done: number) => progress((restart + done / options.steps) / restarts);
			await ascend(x, { ...stepsOf(options, problem), rows: open, onStep });
			if (restarts === 1) return x;
			const { loss, logits } = await objective(open, takeRows(x, open));
			const beaten = open.map((n, i) => fooled(n, row(logits, i).data));
			open.forEach((n, i) => {
				if (!beaten[i] && loss[i] <= highest[n]) return;
				highest[n] = loss[i];
				row(best, n).data.set(row(x, n).data);
			});
			open = open.filter((_, i) => !beaten[i]);
		}
		return best;
	},
});

const stepsOf = ({ stepSize, steps, clipFirst, earlyStop, norm, epsilon }: PgdOptions, { images, objective, fooled }: AttackProblem) => ({
	images,
	budget: { norm, epsilon },
	clipFirst,
	stepSize,
	steps,
	look: objective,
	leaves: (n: number, logits: Float32Array) => earlyStop && fooled(n, logits),
});
