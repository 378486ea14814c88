/** @file Every attack with its options: one schema for experiment files, the command line and programs. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { apgd, apgdFields } from "./apgd.ts";
import type { Attack } from "./attack.ts";
import { autoAttack, autoAttackFields } from "./autoattack.ts";
import { strayOption } from "./autoattack-versions.ts";
import { cw, cwFields } from "./cw.ts";
import { deepfool, deepfoolFields } from "./deepfool.ts";
import { fab, fabFields } from "./fab.ts";
import { fgsm, fgsmFields } from "./fgsm.ts";
import { noise, noiseFields } from "./noise.ts";
import { pixelAmount, topK } from "./options.ts";
import { pgd, pgdFields } from "./pgd.ts";
import { presets, withDefaults } from "./presets.ts";
import { square, squareFields } from "./square.ts";
import { UNBOUNDED } from "./threat-model.ts";
import { diFgsmFields, miFgsmFields, tiFgsmFields, transfer } from "./transfer.ts";

const everywhere = { epsilon: pixelAmount.describe('radius of the allowed change in pixels of [0, 1], e.g. 0.05 or "8/255"'), k: topK };

/** All options given. */
const complete = z
	.discriminatedUnion("name", [
		z.strictObject({ ...fgsmFields, ...everywhere }),
		z.strictObject({ ...pgdFields, ...everywhere }),
		z.strictObject({ ...miFgsmFields, ...everywhere }),
		z.strictObject({ ...diFgsmFields, ...everywhere }),
		z.strictObject({ ...tiFgsmFields, ...everywhere }),
		z.strictObject({ ...cwFields, ...everywhere }),
		z.strictObject({ ...deepfoolFields, ...everywhere }),
		z.strictObject({ ...apgdFields, ...everywhere }),
		z.strictObject({ ...fabFields, ...everywhere }),
		z.strictObject({ ...squareFields, ...everywhere }),
		z.strictObject({ ...autoAttackFields, ...everywhere }),
		z.strictObject({ ...noiseFields, ...everywhere }),
	])
	.refine((o) => !/^target-/.test(o.criterion) || o.target !== "none", {
		path: ["criterion"],
		message: "this criterion needs a targeted attack: set target to random, least-likely, second-best, { label: ... } or { labels: [...] }",
	})
	.refine((o) => !("loss" in o) || o.loss !== "ranking" || o.target === "none", {
		path: ["loss"],
		message: "ranking moves away from labels; a targeted attack that wants labels at the top lowers margin",
	})
	.refine((o) => o.k === undefined || o.criterion === "top-k-lost" || ("loss" in o && o.loss === "ranking"), {
		path: ["k"],
		message: "k belongs to the loss ranking and to the criterion top-k-lost, and neither is asked for",
	})
	.refine((o) => o.name !== "pgd" || o.norm === "l2" || o.start !== "radial", {
		path: ["start"],
		message: "radial is a start for the norm l2; use uniform or clean",
	})
	.refine((o) => o.name !== "pgd" || o.start !== "clean" || (o.restarts ?? 1) === 1, {
		path: ["restarts"],
		message: "restarts need a random start; use uniform or radial",
	})
	.superRefine((o, context) => {
		const stray = o.name === "autoattack" ? strayOption(o) : undefined;
		if (o.name !== "autoattack" || stray === undefined) return;
		context.addIssue({ code: "custom", path: [stray], message: `not what version ${o.version} stands for; set version to custom` });
	});

/** Options of an attack, all of them present: what is recorded, hashed and printed. */
export type AttackSpec = z.output<typeof complete>;

const given = <E extends z.ZodType>(epsilon: E) =>
	z.discriminatedUnion("name", [
		z.strictObject(fgsmFields).partial().extend({ name: fgsmFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(pgdFields).partial().extend({ name: pgdFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(miFgsmFields).partial().extend({ name: miFgsmFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(diFgsmFields).partial().extend({ name: diFgsmFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(tiFgsmFields).partial().extend({ name: tiFgsmFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(cwFields).partial().extend({ name: cwFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(deepfoolFields).partial().extend({ name: deepfoolFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(apgdFields).partial().extend({ name: apgdFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(fabFields).partial().extend({ name: fabFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(squareFields).partial().extend({ name: squareFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(autoAttackFields).partial().extend({ name: autoAttackFields.name, epsilon: epsilon.optional(), k: topK }),
		z.strictObject(noiseFields).partial().extend({ name: noiseFields.name, epsilon: epsilon.optional(), k: topK }),
	]);

function fill(input: { name: string }, context: z.RefinementCtx): AttackSpec {
	const options = withDefaults({ ...input });
	const result = complete.safeParse(options);
	if (result.success) return result.data;
	for (const { path, message } of result.error.issues) {
		const missing = path.length === 1 && !((path[0] as string) in options);
		context.addIssue({
			code: "custom",
			path: [...path],
			message: missing ? `not given, and preset ${options.preset} has no default for it` : message,
		});
	}
	return z.NEVER;
}

/** One attack; options that are not given come from `preset` (default "paper"). */
export const attackSchema = given(pixelAmount).transform(fill);
export type AttackSpecInput = z.input<typeof attackSchema>;

/** One attack over one or several epsilons; without `epsilon` the preset's sweep is used, or its one default. */
export const attackSweepSchema = given(z.union([pixelAmount, z.array(pixelAmount).min(1)])).transform((input, context): AttackSpec[] => {
	const { epsilon, ...rest } = input;
	const epsilons = Array.isArray(epsilon) ? epsilon : [epsilon];
	const { epsilons: swept } = presets[input.preset ?? "paper"];
	const usual = rest.norm === "l2" ? undefined : swept[input.name];
	const sweep = epsilon === undefined ? (usual ?? [undefined]) : epsilons;
	return sweep.map((value) => fill({ ...rest, ...(value === undefined ? {} : { epsilon: value }) }, context));
});
export type AttackSweepInput = z.input<typeof attackSweepSchema>;

/** The attack that these options describe; throws `config` if they are not valid. */
export function createAttack(input: AttackSpecInput): Attack {
	const { data: spec, error } = attackSchema.safeParse(input);
	if (error) {
		const [issue] = error.issues;
		throw new KintsugiError("config", {
			where: ["attack", input.name, ...issue.path].join("."),
			expected: "valid options",
			found: issue.message,
			fix: "correct the option",
		});
	}
	switch (spec.name) {
		case "fgsm":
			return fgsm(spec);
		case "pgd":
			return pgd(spec);
		case "mi-fgsm":
		case "di-fgsm":
		case "ti-fgsm":
			return transfer(spec);
		case "cw":
			return cw(spec);
		case "deepfool":
			return deepfool(spec);
		case "apgd":
			return apgd(spec);
		case "fab":
			return fab(spec);
		case "square":
			return square(spec);
		case "autoattack":
			return autoAttack(spec);
		case "noise":
			return noise(spec);
	}
}

/** All options in one line: `fgsm(preset=paper, norm=linf, epsilon=0.05, ...)`. */
export function describeAttack({ name, ...options }: AttackSpec): string {
	const text = (value: unknown) => {
		if (value === UNBOUNDED) return "unbounded";
		return typeof value === "object" && value !== null ? Object.values(value).join(" ") : String(value);
	};
	return `${name}(${Object.entries(options)
		.map(([key, value]) => `${key}=${text(value)}`)
		.join(", ")})`;
}
