/** @file Which timesteps a loop visits: spacing, a list that is given, and the part that strength leaves. */
import { KintsugiError } from "../errors.ts";
import type { NoiseScheduleConfig } from "./noise-schedule.ts";

/** numpy's round: halves go to the even neighbour. */
export function roundHalfEven(x: number): number {
	const floor = Math.floor(x);
	if (x - floor !== 0.5) return Math.round(x);
	return floor % 2 === 0 ? floor : floor + 1;
}

/** Throws `value` for a number of steps that is no whole number from 1 to `most`. */
export function requireSteps(steps: number, most: number): void {
	if (Number.isInteger(steps) && steps >= 1 && steps <= most) return;
	throw new KintsugiError("value", {
		where: "scheduler steps",
		expected: `a whole number from 1 to ${most}`,
		found: `${steps}`,
		fix: "choose another number of steps",
	});
}

/** The timesteps of a full denoising loop, falling (table 2 of Lin et al. 2023). Throws `value` for more steps than were trained. */
export function inferenceTimesteps(
	{ num_train_timesteps: trained, timestep_spacing: spacing, steps_offset: offset }: NoiseScheduleConfig,
	steps: number,
	{ fractional = false }: { fractional?: boolean } = {},
): number[] {
	requireSteps(steps, trained);
	const indices = Array.from({ length: steps }, (_, i) => i);
	if (spacing === "linspace") {
		const width = steps === 1 ? 0 : (trained - 1) / (steps - 1);
		const round = fractional ? Math.fround : roundHalfEven;
		return indices.map((i) => round(i * width)).reverse();
	}
	if (spacing === "leading") return indices.map((i) => i * Math.floor(trained / steps) + offset).reverse();
	return trailing(trained, trained / steps, steps);
}

/** `n` timesteps down from `from - 1`. numpy.arange counts in a stride that has been rounded beside `from`, which decides the halves. */
export function trailing(from: number, stride: number, n: number): number[] {
	const delta = from - stride - from;
	return Array.from({ length: n }, (_, i) => roundHalfEven(from + i * delta) - 1);
}

/** The list, if it falls from at most `trained - 1` to at least 0; otherwise throws `value`. */
export function falling(timesteps: readonly number[], trained: number): readonly number[] {
	const valid = timesteps.every((t, i) => Number.isInteger(t) && t >= 0 && t < trained && (i === 0 || t < timesteps[i - 1]));
	if (valid && timesteps.length > 0) return timesteps;
	throw new KintsugiError("value", {
		where: "scheduler timesteps",
		expected: `falling whole numbers from ${trained - 1} to 0`,
		found: timesteps.join(", ") || "none",
		fix: "sort the timesteps and remove repetitions",
	});
}

/** How many of the first steps a strength leaves out, as diffusers' image-to-image and inpainting pipelines count. Throws `value`. */
export function skipped(steps: number, strength = 1): number {
	const left = Math.floor(steps * strength);
	if (left >= 1 && strength <= 1) return steps - left;
	throw new KintsugiError("value", {
		where: "strength",
		expected: `from ${1 / steps} (one of ${steps} steps) to 1`,
		found: `${strength}`,
		fix: "choose another strength or more steps",
	});
}
