/** @file What a reader of an attack's result should be told unasked. */
import type { AttackOptions, AttackOutcome } from "./attack.ts";
import { levelsWithin, UNBOUNDED } from "./threat-model.ts";

/** Doubts about the options, before anything is computed. */
export function optionWarnings(options: AttackOptions & { stepSize?: number; steps?: number }): string[] {
	const { norm, epsilon, stepSize, steps } = options;
	const warnings: string[] = [];
	if (epsilon === 0) warnings.push("epsilon is 0: no pixel may change");
	else if (norm === "linf" && epsilon > 1 && epsilon < UNBOUNDED)
		warnings.push(`epsilon ${epsilon} exceeds the pixel range [0, 1]: was ${epsilon}/255 meant?`);
	else if (norm === "linf" && levelsWithin(epsilon) === 0) {
		warnings.push(`epsilon ${epsilon} is below 1/255: rounding to 8 bits removes the whole perturbation`);
	}
	if (stepSize !== undefined && steps !== undefined && epsilon > 0 && epsilon < UNBOUNDED) {
		if (stepSize === 0) warnings.push("stepSize is 0: the attack does not move");
		else if (stepSize > 2 * epsilon) warnings.push(`stepSize ${stepSize} is more than the diameter of the ball (epsilon ${epsilon})`);
		else if (stepSize * steps < epsilon) warnings.push(`${steps} steps of ${stepSize} cannot reach epsilon ${epsilon}`);
	}
	return warnings;
}

/** Doubts about what came out. */
export function outcomeWarnings(outcomes: readonly AttackOutcome[]): string[] {
	const of = (count: number) => `${count} of ${outcomes.length} images`;
	const count = (test: (outcome: AttackOutcome) => boolean) => outcomes.filter(test).length;
	const zero = count((o) => o.zeroGradient);
	const nan = count((o) => o.nanCount > 0);
	const lost = count((o) => o.successBeforeRounding && !o.success);
	return [
		...(zero > 0 ? [`${of(zero)} met a gradient of zero everywhere: the model may mask its gradients`] : []),
		...(nan > 0 ? [`${of(nan)} met values that are not finite; they were replaced and counted`] : []),
		...(lost > 0 ? [`${of(lost)} lost their success to rounding to 8 bits`] : []),
	];
}
