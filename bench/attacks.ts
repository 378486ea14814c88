/** @file Strength of the attacks on the two classifiers that need no download: `npx tsx bench/attacks.ts scenes|coco [images] [name]`. */
import { type AttackResult, runAttack } from "../src/attacks/attack.ts";
import { type AttackSpecInput, attackSchema, createAttack, describeAttack } from "../src/attacks/schema.ts";
import { attackSuccessRate } from "../src/metrics/attack-success.ts";
import { row, stack, type Tensor, tensor } from "../src/tensor/tensor.ts";
import { openTask, type Task } from "./tasks.ts";

/** Precision of the top label, and precision and recall of the labels above their thresholds. */
function quality(logits: Tensor, truth: Tensor, thresholds: Float32Array): string {
	const [n, labels] = logits.dims;
	let top = 0;
	let found = 0;
	let right = 0;
	let present = 0;
	for (let i = 0; i < n; i++) {
		const z = row(logits, i).data;
		const t = row(truth, i).data;
		top += t[z.indexOf(Math.max(...z))];
		for (let k = 0; k < labels; k++) {
			present += t[k];
			if (z[k] > thresholds[k]) {
				found++;
				right += t[k];
			}
		}
	}
	return `P@1 ${(top / n).toFixed(3)}, precision ${(right / Math.max(1, found)).toFixed(3)}, recall ${(right / present).toFixed(3)}`;
}

const CHUNK = 32;

/** Attacks chunk by chunk, so that large canvases fit into memory; the result is the same. */
async function attackAll(
	spec: AttackSpecInput,
	{ classifier }: Task,
	images: readonly Tensor[],
	truth: readonly Tensor[],
	ids: readonly string[],
) {
	const results: AttackResult[] = [];
	for (let from = 0; from < images.length; from += CHUNK) {
		const part = <T>(items: readonly T[]) => items.slice(from, from + CHUNK);
		const input = { images: stack(part(images)), truth: stack(part(truth)), ids: part(ids), seed: 1 };
		results.push(await runAttack(createAttack(spec), classifier, input));
	}
	const outcomes = results.flatMap((r) => r.outcomes);
	const logits = tensor(Float32Array.from(results.flatMap((r) => [...r.logits.data])), [images.length, classifier.labels.length]);
	const clean = tensor(Float32Array.from(results.flatMap((r) => [...r.cleanLogits.data])), logits.dims);
	return { outcomes, logits, clean };
}

/** Success rates under the criteria that need no target, in per cent of the images that they count. */
function rates(clean: Tensor, logits: Tensor, truth: readonly Tensor[], thresholds: Float32Array): string {
	const judgements = truth.map((t, n) => ({ clean: row(clean, n).data, logits: row(logits, n).data, truth: t.data, thresholds }));
	const names = ["label-changed", "top-label-wrong", "any-true-label-lost"] as const;
	return names
		.map((name) => `${name} ${(100 * attackSuccessRate(name, judgements).of(new Float32Array(truth.length).fill(1))).toFixed(1)}`)
		.join(", ");
}

/** PGD away from all true labels, without a random start. */
const ALL_TRUE = {
	name: "pgd",
	start: "clean",
	steps: 20,
	labels: "all-true",
	loss: "set-cross-entropy",
	criterion: "top-label-wrong",
} as const;

const attacks: AttackSpecInput[] = [
	...[0.05, 0.1, 0.15, 0.2].map((epsilon): AttackSpecInput => ({ name: "fgsm", epsilon })),
	...[0.05, 0.2].map((epsilon): AttackSpecInput => ({ name: "noise", epsilon })),
	...[0.05, 0.1, 0.15, 0.2].map(
		(epsilon): AttackSpecInput => ({ name: "fgsm", epsilon, labels: "all-true", loss: "set-cross-entropy", criterion: "top-label-wrong" }),
	),
	{ name: "pgd" },
	{ name: "pgd", target: "random" },
	{ name: "pgd", epsilon: "8/255", stepSize: "2/255", steps: 10 },
	{
		name: "pgd",
		epsilon: "8/255",
		stepSize: "2/255",
		steps: 10,
		labels: "all-true",
		loss: "set-cross-entropy",
		criterion: "top-label-wrong",
	},
	{ name: "pgd", epsilon: "8/255", stepSize: "2/255", steps: 10, loss: "bce", labels: "all-true", criterion: "any-true-label-lost" },
	...[0.25, 0.5, 1, 2, 4, 8].map((levels): AttackSpecInput => ({ ...ALL_TRUE, epsilon: levels / 255, stepSize: levels / 4 / 255 })),
	{ ...ALL_TRUE, epsilon: "unbounded", stepSize: 0.05 },
	...["4/255", "1/255"].flatMap((epsilon): AttackSpecInput[] => {
		const spec = { preset: "autoattack", epsilon } as const;
		return [
			{ name: "autoattack", ...spec },
			{ name: "apgd", ...spec },
			{ name: "apgd", ...spec, loss: "dlr-targeted" },
			{ name: "fab", ...spec },
			{ name: "square", ...spec },
		];
	}),
];

const [which = "scenes", limit = "200", only = ""] = process.argv.slice(2);
const task = await openTask(which, Number(limit));
const { images, truth, ids, classifier } = task;
const { thresholds } = classifier;
console.log(`${classifier.name}, ${ids.length} images of ${task.dataset}`);
console.log(`clean: ${quality(await classifier.predict(stack(images)), stack(truth), thresholds)}`);
for (const spec of attacks.filter(({ name }) => only.split(",").some((start) => name.startsWith(start)))) {
	const start = performance.now();
	const { outcomes, logits, clean } = await attackAll(spec, task, images, truth, ids);
	const share = (count: number) => `${((100 * count) / outcomes.length).toFixed(1)} %`;
	const success = outcomes.filter((o) => o.success).length;
	const before = outcomes.filter((o) => o.successBeforeRounding).length;
	const zero = outcomes.filter((o) => o.zeroGradient).length;
	console.log(
		`${describeAttack(attackSchema.parse(spec))}\n  ${rates(clean, logits, truth, thresholds)}; ASR ${share(success)} (before rounding ${share(before)}), ${quality(logits, stack(truth), thresholds)}, ` +
			`zero gradients ${zero}, ${((performance.now() - start) / 1000).toFixed(1)} s`,
	);
}
await classifier.close();
