/** @file Projected steps uphill: what PGD and the transfer attacks have in common. */
import type { LossGradient } from "../models/classifier.ts";
import type { Random } from "../tensor/random.ts";
import { row, type Tensor } from "../tensor/tensor.ts";
import { takeRows } from "./attack.ts";
import { type Norm, norm2, project, type ThreatModel } from "./threat-model.ts";

/**
 * Where an iteration starts: the clean image; uniform in the ball (Foolbox; torchattacks for L-infinity); or, for L2,
 * a Gaussian direction with a uniform radius (torchattacks).
 */
export const STARTS = ["clean", "uniform", "radial"] as const;
export type Start = (typeof STARTS)[number];

/** Adds a random start to `pixels` in place. */
export function startAt(kind: Start, pixels: Float32Array, { norm, epsilon }: ThreatModel, random: Random): void {
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
export function step(pixels: Float32Array, gradient: Float32Array, stepSize: number, norm: Norm): void {
	if (norm === "l2") {
		const scale = stepSize / Math.max(norm2(gradient), TINY);
		for (let i = 0; i < pixels.length; i++) pixels[i] += scale * gradient[i];
		return;
	}
	for (let i = 0; i < pixels.length; i++) {
		const slope = gradient[i];
		// The sign, without the branches of Math.sign, which a processor mispredicts for every other pixel.
		if (slope !== 0) pixels[i] += stepSize * (slope / Math.abs(slope));
	}
}

export interface Ascent {
	/** Clean images `[N, 3, H, W]`: centres of the balls. */
	images: Tensor;
	/** Images that take part, as rows of `images`. */
	rows: readonly number[];
	budget: ThreatModel;
	/** Cuts to [0, 1] before the projection as well as after it; under L2 it makes a difference. */
	clipFirst?: boolean | undefined;
	stepSize: number;
	steps: number;
	/** Gradient of the objective at candidates `[rows.length, 3, H, W]`. */
	look: (rows: readonly number[], candidates: Tensor) => Promise<LossGradient>;
	/** Where to go from the gradient of row `n`; default: the gradient itself. */
	direction?: (n: number, gradient: Float32Array) => Float32Array;
	/** True if row `n` with these logits takes no further step; default: never. */
	leaves?: (n: number, logits: Float32Array) => boolean;
	/** Called after each step. */
	onStep?: (done: number) => void;
}

/** x <- project(x + stepSize * direction(gradient at x)) for the rows, in place, `steps` times. */
export async function ascend(x: Tensor, { images, rows, budget, clipFirst, stepSize, steps, look, ...hooks }: Ascent): Promise<void> {
	const { direction = (_, gradient) => gradient, leaves = () => false, onStep } = hooks;
	let active = [...rows];
	for (let t = 0; t < steps && active.length > 0; t++) {
		const { gradient, logits } = await look(active, takeRows(x, active));
		const moving = active.map((n, i) => ({ n, i })).filter(({ n, i }) => !leaves(n, row(logits, i).data));
		for (const { n, i } of moving) {
			const pixels = row(x, n).data;
			step(pixels, direction(n, row(gradient, i).data), stepSize, budget.norm);
			if (clipFirst) for (let i = 0; i < pixels.length; i++) pixels[i] = Math.min(1, Math.max(0, pixels[i]));
			project(pixels, row(images, n).data, budget);
		}
		active = moving.map(({ n }) => n);
		onStep?.(t + 1);
	}
}
