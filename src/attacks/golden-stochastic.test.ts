/** @file Random attacks against the libraries: success rate and mean distance on 200 images over several seeds (test/golden/attacks_stochastic.py). */
import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { openTinyCnn, referenceImages } from "../../test/support/autoattack.ts";
import { row, stack, tensor } from "../tensor/tensor.ts";
import { runAttack } from "./attack.ts";
import { argmax } from "./criteria.ts";
import { type AttackSpecInput, attackSchema, createAttack, describeAttack } from "./schema.ts";
import { norm2 } from "./threat-model.ts";

interface Run {
	library: string;
	spec: AttackSpecInput;
	/** One value a seed, the mean over the images: share fooled, L2, and mean absolute change of a pixel. */
	success: number[];
	l2: number[];
	meanAbsolute: number[];
}

const SEEDS = 5;
const runs = JSON.parse(readFileSync(golden("attacks_stochastic.json"), "utf8")) as Run[];
const classifier = await openTinyCnn(40);
afterAll(() => classifier.close());
const reference = referenceImages(200);
const images = tensor(
	reference.images.data.map((v) => Math.round(v * 255) / 255),
	reference.images.dims,
);
const logits = await classifier.predict(images);
/** The network's own labels, as in the reference. */
const truth = stack(
	reference.ids.map((_, n) => {
		const { data } = row(logits, n);
		const top = argmax(data);
		return tensor(
			data.map((_, k) => Number(k === top)),
			[data.length],
		);
	}),
);

const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v / values.length, 0);
const deviation = (values: readonly number[]) => Math.sqrt(mean(values.map((v) => (v - mean(values)) ** 2)));

async function statistics(spec: AttackSpecInput, seed: number) {
	const { outcomes, unrounded } = await runAttack(createAttack(spec), classifier, { images, truth, ids: reference.ids, seed });
	const changes = reference.ids.map((_, n) => row(unrounded, n).data.map((v, i) => v - row(images, n).data[i]));
	return {
		success: mean(outcomes.map((o) => Number(o.successBeforeRounding))),
		l2: mean(changes.map(norm2)),
		meanAbsolute: mean(changes.map((change) => mean([...change].map(Math.abs)))),
	};
}

test.each(runs.map((run) => [run.library, describeAttack(attackSchema.parse(run.spec)), run] as const))("%s: %s", async (_, __, run) => {
	const ours: Awaited<ReturnType<typeof statistics>>[] = [];
	for (let seed = 0; seed < SEEDS; seed++) ours.push(await statistics(run.spec, seed));
	// What the library's seeds leave open, and 1.5 points.
	const open = (2 * deviation(run.success)) / Math.sqrt(run.success.length);
	expect(Math.abs(mean(ours.map((o) => o.success)) - mean(run.success))).toBeLessThan(0.015 + open);
	for (const distance of ["l2", "meanAbsolute"] as const) {
		const wanted = mean(run[distance]);
		const slack = 0.01 * wanted + (2 * deviation(run[distance])) / Math.sqrt(run.success.length);
		expect(Math.abs(mean(ours.map((o) => o[distance])) - wanted), distance).toBeLessThan(slack);
	}
});
