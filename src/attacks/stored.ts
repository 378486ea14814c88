/** @file Whether an image still fools the classifier once it is stored with 8 bits: what lets it leave an attack early. */
import { row, type Tensor } from "../tensor/tensor.ts";
import { type AttackProblem, takeRows } from "./attack.ts";
import { mapRows, roundWithin, type ThreatModel } from "./threat-model.ts";

/** One answer for each of `candidates` `[rows.length, 3, H, W]`, which lie inside the budget. */
export async function foolsAsStored(
	{ images, predict, fooled }: Pick<AttackProblem, "images" | "predict" | "fooled">,
	budget: ThreatModel,
	rows: readonly number[],
	candidates: Tensor,
): Promise<boolean[]> {
	const stored = mapRows(candidates, takeRows(images, rows), (candidate, clean) => roundWithin(candidate, clean, budget));
	const logits = await predict(rows, stored);
	return rows.map((n, i) => fooled(n, row(logits, i).data));
}
