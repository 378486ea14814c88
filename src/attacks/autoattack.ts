/** @file AutoAttack (Croce and Hein, ICML 2020, arXiv 2003.01690): attacks one after the other, each on the images that are still robust. */
import { z } from "zod";
import type { LossName } from "../models/classifier.ts";
import { row, tensor } from "../tensor/tensor.ts";
import { apgd } from "./apgd.ts";
import type { Attack } from "./attack.ts";
import { doubtsBefore, squareDoubt } from "./autoattack-checks.ts";
import { PARTS, type PartName, VERSION_NAMES } from "./autoattack-versions.ts";
import { fab } from "./fab.ts";
import { criterionName, eotSamples, labelRule, presetName } from "./options.ts";
import { restrict } from "./restrict.ts";
import { square } from "./square.ts";
import { foolsAsStored } from "./stored.ts";
import { NORMS, project } from "./threat-model.ts";

export const autoAttackFields = {
	name: z.literal("autoattack"),
	preset: presetName,
	norm: z.enum(NORMS),
	version: z
		.enum(VERSION_NAMES)
		.describe("stands for attacks, restarts, eot, steps, queries and targetClasses; custom: all of them are free"),
	attacks: z.array(z.enum(PARTS)).min(1).describe("parts, in their order"),
	restarts: z.int().positive().describe("runs of apgd-ce, apgd-dlr and fab; the other parts make one"),
	eot: eotSamples,
	steps: z.int().positive().describe("number of gradient steps of one run"),
	queries: z.int().positive().describe("number of random changes that square tries"),
	targetClasses: z.int().positive().describe("number of other labels that apgd-t and fab-t try"),
	earlyStop: z
		.boolean()
		.describe("images leave a run once they meet the criterion, also after rounding to 8 bits: the same images are fooled, for less time"),
	labels: labelRule,
	target: z.literal("none"),
	criterion: criterionName,
};

export type AutoAttackOptions = z.output<z.ZodObject<typeof autoAttackFields>> & { epsilon: number };

/** The attack that a part stands for. */
export function createPart(part: PartName, options: AutoAttackOptions): Attack {
	const { preset, norm, epsilon, steps, restarts, queries, targetClasses, earlyStop, labels, target, criterion } = options;
	const common = { preset, norm, epsilon, labels, target, criterion };
	const climb = (loss: Extract<LossName, "cross-entropy" | "set-cross-entropy" | "dlr" | "dlr-targeted">, runs: number) =>
		apgd({ name: "apgd", ...common, steps, restarts: runs, loss, targetClasses, earlyStop });
	const walk = (classes: number, runs: number) =>
		fab({ name: "fab", ...common, steps, restarts: runs, targetClasses: classes, alphaMax: 0.1, eta: 1.05, beta: 0.9, earlyStop });
	switch (part) {
		case "apgd-ce":
			return climb(labels === "all-true" ? "set-cross-entropy" : "cross-entropy", restarts);
		case "apgd-dlr":
			return climb("dlr", restarts);
		case "apgd-t":
			return climb("dlr-targeted", 1);
		case "fab":
			return walk(0, restarts);
		case "fab-t":
			return walk(targetClasses, 1);
		case "square":
			return square({ name: "square", ...common, queries, restarts: 1, pInit: 0.8, rescaleSchedule: false });
	}
}

/**
 * An image leaves the sequence once a part has fooled the classifier with it, also after rounding to 8 bits. Of the others the
 * candidate that fools before rounding is returned, or else that of the first part.
 */
export const autoAttack = (options: AutoAttackOptions): Attack<AutoAttackOptions> => ({
	options,
	async perturb(problem) {
		const { images, cleanLogits, fooled, predict, progress, warn } = problem;
		const { attacks, doubts } = await doubtsBefore(problem, options);
		doubts.forEach(warn);
		const result = tensor(images.data.slice(), images.dims);
		const all = Array.from({ length: images.dims[0] }, (_, n) => n);
		let open = all.filter((n) => !fooled(n, row(cleanLogits, n).data));
		const robust = new Set(open);
		for (const [p, name] of attacks.entries()) {
			if (open.length === 0) break;
			const robustBefore = robust.size;
			const part = createPart(name, options);
			const candidates = await part.perturb(restrict(problem, open, part.options, (done) => progress((p + done) / attacks.length)));
			for (const [i, n] of open.entries()) project(row(candidates, i).data, row(images, n).data, options);
			const logits = await predict(open, candidates);
			const stored = await foolsAsStored(problem, options, open, candidates);
			for (const [i, n] of open.entries()) {
				const fools = fooled(n, row(logits, i).data);
				if (p === 0 || stored[i] || (fools && robust.has(n))) row(result, n).data.set(row(candidates, i).data);
				if (fools) robust.delete(n);
			}
			if (name === "square" && p > 0) squareDoubt(robustBefore - robust.size, all.length).forEach(warn);
			open = open.filter((_, i) => !stored[i]);
		}
		return result;
	},
});
