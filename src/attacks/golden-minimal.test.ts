/** @file CW, DeepFool, ART's FGSM and PGD, and PGD on the margin: golden vectors from test/golden/attacks_minimal.py. */
import { afterAll, describe, expect, it } from "vitest";
import { floats, type GoldenAttacks, named, openGolden } from "../../test/support/golden-attacks.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

interface Run {
	library: string;
	spec: AttackSpecInput;
	/** The adversarial images, and the pixels where rounding decides the sign of a step. */
	x: string;
	undecided: number[];
}

/** Of an attack that amplifies rounding errors over thousands of steps, only the distances. */
type LongRun = Pick<Run, "library" | "spec"> & { l2: number[] };

interface Golden extends GoldenAttacks {
	runs: (Run | LongRun)[];
}

const { golden, input, classifier } = await openGolden<Golden>("attacks_minimal.json");
afterAll(() => classifier.close());

const attacked = async (spec: AttackSpecInput) => (await runAttack(createAttack(spec), classifier, input)).unrounded;
describe("parity with published attacks", () => {
	it.each(named(golden.runs.filter((run) => "x" in run)))("%s: %s", async (_, __, { spec, x, undecided }) => {
		const expected = floats(x);
		const errors = (await attacked(spec)).data.map((v, i) => Math.abs(v - expected[i]));
		const free = new Set(undecided);
		const worst = errors.reduce((most, error, i) => (free.has(i) ? most : Math.max(most, error)), 0);
		expect(worst).toBeLessThan(1e-5);
		expect(free.size / errors.length).toBeLessThan(0.002);
	});

	it.each(named(golden.runs.filter((run) => "l2" in run)))("%s, by its distances: %s", async (_, __, { spec, l2 }) => {
		const { data } = await attacked(spec);
		const size = data.length / l2.length;
		const ours = l2.map((_, n) =>
			Math.hypot(...data.subarray(n * size, (n + 1) * size).map((v, i) => v - input.images.data[n * size + i])),
		);
		const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
		ours.forEach((length, n) => {
			expect(Math.abs(length - l2[n])).toBeLessThan(0.01 * l2[n]);
		});
		expect(Math.abs(mean(ours) / mean(l2) - 1)).toBeLessThan(0.003);
	});
});
