/**
 * @file Losses against criteria on images with several labels: `npx tsx bench/multi-label.ts scenes|coco [images] [epsilon in 1/255]`.
 * PGD, 20 steps of a quarter of epsilon; each loss attacks once and every criterion judges what came out, after rounding to 8 bits.
 */
import { runAttack } from "../src/attacks/attack.ts";
import type { CriterionName } from "../src/attacks/criteria.ts";
import { type AttackSpecInput, createAttack } from "../src/attacks/schema.ts";
import { attackSuccessRate } from "../src/metrics/attack-success.ts";
import { wilson } from "../src/metrics/intervals.ts";
import { interval } from "../src/reports/format.ts";
import { row, stack } from "../src/tensor/tensor.ts";
import { machine, tableRow } from "./side-by-side.ts";
import { openTask } from "./tasks.ts";

const CHUNK = 32;
const CRITERIA: CriterionName[] = [
	"label-changed",
	"top-label-wrong",
	"any-true-label-lost",
	"all-true-labels-lost",
	"top-k-lost",
	"set-changed",
];
const OBJECTIVES: { name: string; objective: object }[] = [
	{ name: "cross-entropy, predicted (the paper)", objective: { loss: "cross-entropy", labels: "predicted" } },
	...["cross-entropy", "set-cross-entropy", "set-margin", "margin", "bce", "ranking"].map((loss) => ({
		name: loss,
		objective: { loss, labels: "all-true" },
	})),
];

const [which = "scenes", limit = "200", levels = "8"] = process.argv.slice(2);
const { classifier, dataset, images, truth, ids } = await openTask(which, Number(limit));
const { thresholds } = classifier;
const epsilon = Number(levels) / 255;

async function judged(objective: object) {
	const spec = { name: "pgd", epsilon, stepSize: epsilon / 4, steps: 20, start: "clean", ...objective } as AttackSpecInput;
	const judgements = [];
	for (let from = 0; from < ids.length; from += CHUNK) {
		const part = <T>(items: readonly T[]) => items.slice(from, from + CHUNK);
		const input = { images: stack(part(images)), truth: stack(part(truth)), ids: part(ids), seed: 1 };
		const { logits, cleanLogits } = await runAttack(createAttack(spec), classifier, input);
		for (const [n, t] of part(truth).entries())
			judgements.push({ clean: row(cleanLogits, n).data, logits: row(logits, n).data, truth: t.data, thresholds });
	}
	return judgements;
}

console.log(`${classifier.name}, ${ids.length} images of ${dataset}, PGD ${levels}/255 x 20, k = 3; 95 % intervals; ${machine()}\n`);
const counts = new Map<CriterionName, number>();
const rows: string[] = [];
for (const { name, objective } of OBJECTIVES) {
	const judgements = await judged(objective);
	const cells = CRITERIA.map((criterion) => {
		const { n, of } = attackSuccessRate(criterion, judgements);
		counts.set(criterion, n);
		return interval(wilson(Math.round(n * of(new Uint8Array(ids.length).fill(1))), n));
	});
	rows.push(tableRow([name, ...cells]));
}
console.log(
	[
		tableRow(["loss", ...CRITERIA.map((c) => `${c}, n = ${counts.get(c)}`)]),
		tableRow(["loss", ...CRITERIA].map(() => "---")),
		...rows,
	].join("\n"),
);
await classifier.close();
