import { describe, expect, it } from "vitest";
import { attackSchema, attackSweepSchema, createAttack, describeAttack } from "./schema.ts";

describe("attack options", () => {
	it("fills in the paper's defaults and prints every option", () => {
		expect(describeAttack(attackSchema.parse({ name: "pgd" }))).toBe(
			"pgd(preset=paper, norm=linf, stepSize=0.01, steps=40, start=uniform, earlyStop=false, " +
				"loss=cross-entropy, labels=predicted, target=none, criterion=label-changed, epsilon=0.1)",
		);
	});

	it("asks and prints no loss of an attack that has none", () => {
		expect(describeAttack(attackSchema.parse({ name: "noise", epsilon: 0.1 }))).toBe(
			"noise(preset=paper, norm=linf, target=none, criterion=label-changed, epsilon=0.1)",
		);
		expect(() => attackSchema.parse({ name: "noise", loss: "bce" })).toThrow(/loss/);
	});

	it("reads fractions and makes Foolbox's relative step absolute", () => {
		const pgd = attackSchema.parse({ name: "pgd", preset: "foolbox", epsilon: "8/255" });
		expect(pgd).toMatchObject({ epsilon: 8 / 255, stepSize: ((0.01 / 0.3) * 8) / 255, steps: 40, criterion: "top-label-wrong" });
		expect(attackSchema.parse({ name: "pgd", preset: "torchattacks", norm: "l2" })).toMatchObject({
			epsilon: 1,
			stepSize: 0.2,
			start: "radial",
		});
	});

	it("judges a targeted attack by its target", () => {
		expect(attackSchema.parse({ name: "pgd", target: "random" }).criterion).toBe("target-reached");
	});

	it("judges the ranking loss by the top k labels of all true labels", () => {
		expect(attackSchema.parse({ name: "fgsm", loss: "ranking" })).toMatchObject({ labels: "all-true", criterion: "top-k-lost", k: 3 });
		expect(attackSchema.parse({ name: "fgsm", loss: "ranking", criterion: "set-changed", k: 5 })).toMatchObject({
			criterion: "set-changed",
			k: 5,
		});
		expect(attackSchema.parse({ name: "noise", criterion: "top-k-lost" })).toMatchObject({ k: 3 });
		expect(attackSchema.parse({ name: "fgsm" })).not.toHaveProperty("k");
	});

	it("sweeps over the preset's epsilons or the given ones", () => {
		const epsilons = (input: Parameters<typeof attackSweepSchema.parse>[0]) => attackSweepSchema.parse(input).map((o) => o.epsilon);
		expect(epsilons({ name: "fgsm" })).toEqual([0.05, 0.1, 0.15, 0.2]);
		expect(epsilons({ name: "pgd" })).toEqual([0.1]);
		expect(() => epsilons({ name: "fgsm", norm: "l2" })).toThrow(/no default/);
		expect(epsilons({ name: "fgsm", epsilon: ["1/255", 0.1] })).toEqual([1 / 255, 0.1]);
	});

	it.each([
		["an unknown key", { name: "fgsm", epsilom: 0.1 }, /epsilom/],
		["an unknown attack", { name: "deepfry" }, /name/],
		["a negative radius", { name: "fgsm", epsilon: -0.1 }, /epsilon/],
		["a radius that a preset does not know", { name: "pgd", preset: "foolbox" }, /no default/],
		["a target criterion without a target", { name: "fgsm", criterion: "target-reached" }, /needs a targeted attack/],
		["a set criterion without a target", { name: "fgsm", criterion: "target-set-reached" }, /needs a targeted attack/],
		["an empty set of targets", { name: "fgsm", target: { labels: [] } }, /target/],
		["ranking towards a target", { name: "fgsm", loss: "ranking", target: "random" }, /margin/],
		["a k that nothing uses", { name: "fgsm", k: 2 }, /k belongs to/],
		["restarts that all start alike", { name: "pgd", start: "clean", restarts: 2 }, /restarts need a random start/],
		["a radial start in a cube", { name: "pgd", start: "radial" }, /radial/],
		["targeted noise", { name: "noise", target: "random" }, /target/],
	])("refuses %s", (_, input, message) => {
		expect(() => createAttack(input as never)).toThrow(message);
		expect(() => createAttack(input as never)).toThrow(expect.objectContaining({ name: "KintsugiError", code: "config" }));
	});
});
