import { describe, expect, it } from "vitest";
import { fakeParts } from "../../test/support/fake-parts.ts";
import { makePlan } from "./plan.ts";
import type { RecordRow } from "./records.ts";
import { summarise } from "./summarise.ts";

const parts = fakeParts({ paths: ["red-0", "green-1", "blue-2", "red-3"] });
const plan = makePlan(parts, { seed: 3, chunkSize: 2, repetitions: 1 });
const truths = ["red", "green", "blue", "red"];
const LABELS = ["red", "green", "blue"];
/** Scores whose top label is the given one. */
const saying = (label: string) => LABELS.map((l) => (l === label ? 2 : -1));

interface Said {
	before: readonly string[];
	after?: readonly string[];
}

function rowsOf(attack: string, purifier: string, { before, after = before }: Said): RecordRow[] {
	return truths.map((truth, position) => ({
		position,
		image: `${truth}-${position}`,
		attack,
		purifier,
		repetition: 0,
		truth: [truth],
		target: null,
		scoresClean: saying(truth),
		scoresBefore: saying(before[position]),
		scoresAfter: saying(after[position]),
		success: attack === "clean" ? null : before[position] !== truth,
		successBeforeRounding: attack === "clean" ? null : true,
		alreadyFooled: attack === "clean" ? null : false,
		linf: 0.05,
		l2: position,
		nanCount: 0,
		zeroGradient: position === 0,
		gradientEvaluations: 1,
		regions: [],
		canvasKey: "c",
		beforeKey: "b",
		afterKey: "a",
		slot: 0,
		secondsAttack: Math.random(),
		secondsPurify: Math.random(),
	}));
}

const attacked = ["green", "green", "red", "blue"];
const repaired = ["red", "green", "red", "red"];
const rows = () => [
	...rowsOf("clean", "none", { before: truths }),
	...rowsOf("clean", "guided", { before: truths, after: repaired }),
	...rowsOf("fgsm-0.05", "none", { before: attacked }),
	...rowsOf("fgsm-0.05", "guided", { before: attacked, after: repaired }),
];
const run = (input: readonly RecordRow[] = rows()) =>
	summarise({ name: "x", parts, plan, rows: input, failures: [], warnings: [], bootstrap: { samples: 200, confidence: 0.95 } });

describe("summarise", () => {
	it("counts what the records say", () => {
		const { clean, attacks } = run();
		const [weak] = attacks;
		expect(weak).toMatchObject({ attack: "fgsm-0.05", threat: "static", imagesWithZeroGradient: 1, l2: 1.5, linf: 0.05 });
		expect(weak.successRate).toMatchObject({ value: 0.75, n: 4 });
		expect(weak.successRateBeforeRounding).toMatchObject({ value: 1, n: 4 });
		expect(clean.panel.precisionAt1).toMatchObject({ value: 1, n: 4 });
		expect(weak.adversarial.precisionAt1.value).toBe(0.25);
		expect(weak.purified[0].panel.precisionAt1.value).toBe(0.75);
		expect(weak.purified[0].recovered?.value).toBeCloseTo(2 / 3, 12);
		expect(clean.purified[0].recovered).toBeNull();
		expect(clean.purified[0].panel.labelChanged.value).toBe(0.25);
	});

	it("gives a share of all or none Wilson's interval, so that it is never without width", () => {
		const { value, low, high } = run().clean.panel.precisionAt1;
		expect([value, high]).toEqual([1, 1]);
		expect(low).toBeCloseTo(0.5101, 4);
	});

	it("has equal bytes for equal records, whatever the time they took", () => {
		expect(JSON.stringify(run())).toBe(JSON.stringify(run()));
	});

	it("compares purified images with the same images before", () => {
		const kept = rows().filter((r) => r.purifier === "none" || r.position < 2);
		const [weak] = run(kept).attacks;
		expect(weak.purified[0]).toMatchObject({ images: 2, panel: { precisionAt1: { value: 1, n: 2 } }, recovered: { value: 1, n: 2 } });
	});

	it("says that it does not know where there is no truth", () => {
		const blind = rows().map((r) => ({ ...r, truth: null }));
		const { clean, attacks } = run(blind);
		expect(clean.panel.precisionAt1).toEqual({ value: null, low: null, high: null, n: 0 });
		expect(attacks[0].successRate.value).toBe(0.75);
		expect(attacks[0].purified[0].recovered?.value).toBeNull();
	});

	it("lets repetitions of an image count as one image", () => {
		const twice = [
			...rows(),
			...rows()
				.filter((r) => r.purifier === "guided")
				.map((r) => ({ ...r, repetition: 1 })),
		];
		expect(run(twice).attacks[0].purified[0].panel.precisionAt1).toEqual(run().attacks[0].purified[0].panel.precisionAt1);
	});
});
