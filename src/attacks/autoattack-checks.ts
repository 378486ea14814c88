/** @file When AutoAttack's result should not be trusted: the warnings of the original. */
import { row } from "../tensor/tensor.ts";
import type { AttackProblem } from "./attack.ts";
import type { AutoAttackOptions } from "./autoattack.ts";
import type { PartName } from "./autoattack-versions.ts";
import { norm2 } from "./threat-model.ts";

/** Labels that the ratios of logits need. */
const LABELS_NEEDED: Readonly<Partial<Record<PartName, number>>> = { "apgd-dlr": 3, "apgd-t": 4 };

/** Distance of two vectors of logits, each of length 1, above which two answers to one image count as different. */
const SAME_LOGITS = 1e-4;
/** Sums that differ from 1 by less are probabilities. */
const SAME_SUM = 1e-5;

const unit = (logits: Float32Array) => {
	const length = norm2(logits) + 1e-10;
	return logits.map((z) => z / length);
};

const isProbability = (z: Float32Array) =>
	z.every((v) => v > -SAME_SUM && v < 1 + SAME_SUM) && Math.abs(z.reduce((a, b) => a + b, 0) - 1) < SAME_SUM;

/** What speaks against the evaluation before it begins, and the parts that the number of labels permits. */
export async function doubtsBefore(
	{ images, cleanLogits, predict }: AttackProblem,
	{ version, attacks, targetClasses, criterion, eot = 1 }: AutoAttackOptions,
): Promise<{ attacks: PartName[]; doubts: string[] }> {
	const [count, labels] = cleanLogits.dims;
	const rows = Array.from({ length: count }, (_, n) => n);
	const doubts: string[] = [];
	const again = await predict(rows, images);
	const differs = (n: number) => {
		const [a, b] = [cleanLogits, again].map((t) => unit(row(t, n).data));
		return norm2(a.map((v, k) => v - b[k])) > SAME_LOGITS;
	};
	const random = rows.filter(differs).length;
	if (random > 0 && eot === 1) {
		doubts.push(
			`${random} of ${count} images got different logits when they were asked for again: the classifier is random, use version rand`,
		);
	}
	if (rows.every((n) => isProbability(row(cleanLogits, n).data))) {
		doubts.push("the classifier's outputs look like probabilities: gradients of logits are stronger");
	}
	const possible = attacks.filter((part) => labels >= (LABELS_NEEDED[part] ?? 2));
	const left = attacks.filter((part) => !possible.includes(part));
	if (left.length > 0) doubts.push(`${left.join(" and ")} left out: ${labels} labels are too few for its loss`);
	if (possible.some((part) => part.endsWith("-t")) && labels - 1 < targetClasses) {
		doubts.push(`only ${labels - 1} other labels to aim at, ${version} asks for ${targetClasses}`);
	}
	if (criterion !== "top-label-wrong" && criterion !== "label-changed") {
		doubts.push(`AutoAttack moves the top label; the criterion ${criterion} asks for something else`);
	}
	return { attacks: possible, doubts };
}

/** Share of the images that random search may win from the attacks with gradients. */
const LUCK = 0.002;

/** Random search that finds what gradients did not: the gradients mislead. */
export const squareDoubt = (won: number, count: number): string[] =>
	won > LUCK * count
		? [
				`square fooled ${won} of ${count} images that withstood the attacks with gradients: these may be masked, and the robustness overestimated`,
			]
		: [];
