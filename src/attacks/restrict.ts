/** @file Some of an attack's images as a problem of their own, so that an attack can be made of others. */
import { type AttackOptions, type AttackProblem, objectiveOf, takeRows } from "./attack.ts";

/**
 * What another attack with these options sees of rows `rows` of a problem: its row i is row `rows[i]`. It draws the random numbers
 * that it would draw alone, so that an image fares in it as it would alone.
 */
export function restrict(
	problem: AttackProblem,
	rows: readonly number[],
	{ name, loss = "cross-entropy" }: AttackOptions,
	progress: (done: number) => void,
): AttackProblem {
	const outer = (inner: readonly number[]) => inner.map((i) => rows[i]);
	const randomOf = (attack: string) => (i: number) => problem.randomOf(attack)(rows[i]);
	const part = {
		images: takeRows(problem.images, rows),
		cleanLogits: takeRows(problem.cleanLogits, rows),
		targeted: problem.targeted,
		wanted: (i: number) => problem.wanted(rows[i]),
		fooled: (i: number, logits: Float32Array) => problem.fooled(rows[i], logits),
		random: randomOf(name),
		randomOf,
		warn: problem.warn,
		progress,
		predict: (inner, candidates) => problem.predict(outer(inner), candidates),
		lossGradient: (by, inner, candidates, targets) => problem.lossGradient(by, outer(inner), candidates, targets),
	} satisfies Omit<AttackProblem, "objective">;
	return { ...part, objective: objectiveOf(loss, part) };
}
