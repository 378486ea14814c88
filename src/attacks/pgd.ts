/** @file Projected gradient descent (Madry et al., ICLR 2018, arXiv 1706.06083) under L-infinity and L2. */
import { z } from "zod";
import type { Random } from "../tensor/random.ts";
import { row, type Tensor, tensor } from "../tensor/tensor.ts";
import { type Attack, takeRows } from "./attack.ts";
import { criterionName, labelRule, lossName, pixelAmount, presetName, targetRule } from "./options.ts";
import { NORMS, norm2, project, type ThreatModel } from "./threat-model.ts";

/**
 * Where the iteration starts: the clean image; uniform in the ball (Foolbox; torchattacks for L-infinity); or, for L2,
 * a Gaussian direction with a uniform radius (torchattacks).
 */
export const STARTS = ["clean", "uniform", "radial"] as const;

export const pgdFields = {
	name: z.literal("pgd"),
	preset: presetName,
	norm: z.enum(NORMS),
	stepSize: pixelAmount,
	steps: z.int().positive().describe("number of gradient steps"),
	start: z.enum(STARTS).describe("where the iteration starts"),
	earlyStop: z.boolean().describe("images that meet the criterion leave the batch"),
	loss: lossName,
	labels: labelRule,
	target: targetRule,
	criterion: criterionName,
};

export type PgdOptions = z.output<z.ZodObject<typeof pgdFields>> & { epsilon: number };

/** Adds a random start to `pixels` in place. */
function startAt(kind: (typeof STARTS)[number], pixels: Float32Array, { norm, epsilon }: ThreatModel, random: Random): void {
	if (kind === "clean") return;
	const direction = norm === "linf" ? random.uniforms(pixels.length, -epsilon, epsilon) : random.normals(pixels.length);
	let scale = 1;
	if (norm === "l2") {
		const u = random.uniform();
		scale = (epsilon * (kind === "radial" ? u : u ** (1 / pixels.length))) / norm2(direction);
	}
	for (let i = 0; i < pixels.length; i++) pixels[i] += scale * direction[i];
}

/** Below this a gradient's length counts as zero and the image stays where it is. */
const TINY = 1e-12;

/** One step uphill, in place: along the sign of the gradient (L-infinity) or along its unit vector (L2). */
function step(pixels: Float32Array, gradient: Float32Array, stepSize: number, { norm }: ThreatModel): void {
	const scale = norm === "l2" ? stepSize / Math.max(norm2(gradient), TINY) : stepSize;
	for (let i = 0; i < pixels.length; i++) pixels[i] += scale * (norm === "l2" ? gradient[i] : Math.sign(gradient[i]));
}

/** x_0 = start; x_{t+1} = project(x_t + stepSize * direction(d objective / dx_t)); the last iterate is returned. */
export const pgd = (options: PgdOptions): Attack<PgdOptions> => ({
	options,
	async perturb({ images, objective, fooled, random, progress }) {
		const x: Tensor = tensor(images.data.slice(), images.dims);
		let active = Array.from({ length: images.dims[0] }, (_, n) => n);
		for (const n of active) {
			const pixels = row(x, n).data;
			startAt(options.start, pixels, options, random(n));
			project(pixels, row(images, n).data, options);
		}
		for (let t = 0; t < options.steps && active.length > 0; t++) {
			const { gradient, logits } = await objective(active, takeRows(x, active));
			const moving = active.map((n, i) => ({ n, i })).filter(({ n, i }) => !(options.earlyStop && fooled(n, row(logits, i).data)));
			for (const { n, i } of moving) {
				const pixels = row(x, n).data;
				step(pixels, row(gradient, i).data, options.stepSize, options);
				project(pixels, row(images, n).data, options);
			}
			active = moving.map(({ n }) => n);
			progress((t + 1) / options.steps);
		}
		return x;
	},
});
