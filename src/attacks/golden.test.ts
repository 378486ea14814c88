/** @file FGSM and PGD against torchattacks and Foolbox: golden vectors from test/golden/attacks.py. */
import { afterAll, describe, expect, it } from "vitest";
import { bytes, floats, type GoldenAttacks, named, openGolden } from "../../test/support/golden-attacks.ts";
import { runAttack } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";

interface Golden extends GoldenAttacks {
	runs: { library: string; spec: AttackSpecInput; x: string; smallest: string }[];
}

const { golden, input, classifier } = await openGolden<Golden>("attacks.json");
afterAll(() => classifier.close());

/** Half-precision bits as a number (no denormals are needed below 1e-4 of a mean gradient: they count as zero). */
function half(bits: number): number {
	const exponent = (bits >> 10) & 31;
	return exponent === 0 ? 0 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
}

/** A gradient smaller than this share of its image's mean gradient may have either sign in float32. */
const UNDECIDED = 1e-3;

describe("parity with published attacks", () => {
	it.each(named(golden.runs))("%s: %s", async (_, __, run) => {
		const attack = createAttack(run.spec);
		const { unrounded } = await runAttack(attack, classifier, input);
		const expected = floats(run.x);
		const smallest = Float32Array.from(new Uint16Array(bytes(run.smallest).buffer), half);
		let flips = 0;
		let worst = 0;
		unrounded.data.forEach((v, i) => {
			const error = Math.abs(v - expected[i]);
			if (attack.options.norm === "linf" && error > 1e-5 && smallest[i] < UNDECIDED) flips++;
			else worst = Math.max(worst, error);
		});
		expect(worst).toBeLessThan(1e-5);
		expect(flips / unrounded.data.length).toBeLessThan(0.002);
	});
});
