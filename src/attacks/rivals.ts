/** @file Which labels an attack on a single boundary plays against each other. */
import { row } from "../tensor/tensor.ts";
import type { AttackProblem } from "./attack.ts";

/** The label with the highest logit among those that `allowed` lets through; -1 if there is none. */
export function best(logits: Float32Array, allowed: (k: number) => boolean): number {
	let found = -1;
	for (let k = 0; k < logits.length; k++) if (allowed(k) && (found < 0 || logits[k] > logits[found])) found = k;
	return found;
}

/**
 * Labels that should overtake the others in row `n`, most likely first: all that are not wanted, by their logit on the clean
 * image; of a targeted attack the target alone.
 */
export function rivals({ cleanLogits, wanted, targeted }: AttackProblem, n: number): number[] {
	const labels = wanted(n);
	const clean = row(cleanLogits, n).data;
	return [...labels.keys()].filter((k) => labels[k] > 0 === targeted).sort((a, b) => clean[b] - clean[a] || a - b);
}

/** The labels that a rival has to overtake, as 1 in `[K]`: the wanted ones; of a targeted attack all but the target. */
export function defenders({ wanted, targeted }: AttackProblem, n: number): Float32Array {
	return targeted ? wanted(n).map((t) => (t > 0 ? 0 : 1)) : wanted(n);
}
