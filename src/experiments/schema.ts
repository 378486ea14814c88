/** @file What may stand in an experiment file; every option has a default but the data and the classifier. */

import { z } from "zod";
import { type AttackSpec, attackSweepSchema } from "../attacks/schema.ts";
import { UNBOUNDED } from "../attacks/threat-model.ts";
import { detectorSchema } from "../models/detectors/open-detector.ts";
import { onnxClassifierSchema } from "../models/onnx-classifier.ts";
import { purifierSchema } from "../purifiers/registry.ts";
import { regionsSchema } from "../regions/regions.ts";
import { CLEAN } from "./records.ts";

const whole = z.int().nonnegative();
const count = z.int().positive();
const name = z.string().regex(/^[\w.+/-]+$/, "expected letters, digits and the signs _ . + / - only");
const modelName = z
	.string()
	.min(1)
	.describe(
		"name of a bundled or pulled model, ORG/NAME of a pulled one, or path of a model folder or .onnx file, relative to the experiment file",
	);
const labelList = z
	.union([z.literal("coco"), z.array(z.string()).min(2)])
	.describe("labels in the order of the network's outputs; coco: COCO's 80 categories by id");

const canvasSchema = z.strictObject({
	size: count.max(4096).optional().describe("side of a square canvas"),
	height: count.max(4096).optional(),
	width: count.max(4096).optional(),
	policy: z.enum(["stretch", "crop", "letterbox"]).default("crop").describe("how a picture of another shape is put on the canvas"),
	filter: z.enum(["bilinear", "bicubic"]).default("bicubic"),
	fill: z
		.tuple([whole.max(255), whole.max(255), whole.max(255)])
		.default([114, 114, 114])
		.describe("colour of the bars of letterbox"),
	align: z.enum(["center", "start"]).default("center").describe("where letterbox puts the picture"),
});

const dataSchema = z.strictObject({
	coco: z.string().optional().describe("annotation file in the official COCO format; without it the images have no labels"),
	images: z.string().describe("folder of the images"),
	count: count.optional().describe("number of images, drawn by the seed; default all"),
	minObjects: whole.default(0).describe("images with fewer annotated objects are left out"),
	labels: z
		.union([z.enum(["all", "present"]), z.array(z.string()).min(2)])
		.default("all")
		.describe("labels of the data set: all, those present in the subset, or a list"),
	canvas: canvasSchema,
	maxMegapixels: z.number().positive().default(50).describe("larger images are refused"),
});

const thresholdsPath = z
	.string()
	.optional()
	.describe("file of kintsugi calibrate, relative to the experiment file: the logits above which labels count as present");

const classifierSchema = z.discriminatedUnion("kind", [
	z.strictObject({
		kind: z.literal("clip"),
		model: modelName,
		template: z.string().default("a photo of a {label}").describe("sentence whose embedding stands for a label"),
		labels: labelList.optional().describe("default: the labels of the data set"),
		thresholds: thresholdsPath,
	}),
	onnxClassifierSchema
		.omit({ canvas: true })
		.extend({ kind: z.literal("onnx"), model: modelName, labels: labelList, thresholds: thresholdsPath }),
]);

const [detr, yolox] = detectorSchema.options;
const detectorFileSchema = z.discriminatedUnion("kind", [
	detr.omit({ path: true }).extend({ model: modelName }),
	yolox.omit({ path: true }).extend({ model: modelName, labels: labelList }),
]);

const attackFields = { as: name.optional().describe("name in tables and in `purify`; default: name, epsilon and target") };
const purifierFields = {
	as: name.optional().describe("name in tables; default: the purifier's name"),
	purify: z.array(name).optional().describe(`attacks whose images are purified, by name; ${CLEAN} = unattacked images; default all`),
	regions: regionsSchema.partial().optional().describe("region options that differ from the experiment's for this purifier"),
};

const transferFields = {
	as: name.optional().describe("name in the matrix; default: the name of the model's file or folder"),
	optional: z.boolean().default(false).describe("left out, with a warning, where the model is missing"),
};

/** Checks the members of `fields` and hands the rest to `inner`; `given` is what was written, without defaults. */
function beside<F extends z.ZodRawShape, S extends z.ZodType>(fields: F, inner: S) {
	const own = z.object(fields);
	return z
		.record(z.string(), z.unknown())
		.transform((given, context): { own: z.output<typeof own>; rest: z.output<S>; given: Readonly<Record<string, unknown>> } => {
			const rest = Object.fromEntries(Object.entries(given).filter(([key]) => !Object.hasOwn(fields, key)));
			const [outer, nested] = [own.safeParse(given), inner.safeParse(rest)];
			for (const { error } of [outer, nested])
				for (const issue of error?.issues ?? []) context.issues.push({ ...issue, input: given } as never);
			return outer.success && nested.success ? { own: outer.data, rest: nested.data, given } : z.NEVER;
		});
}

const shape = {
	name: z
		.string()
		.regex(/^[\w.-]+$/, "expected letters, digits and the signs _ . - only")
		.describe("names the report and the folder runs/NAME"),
	seed: whole.default(0),
	data: dataSchema,
	classifier: classifierSchema,
	detector: detectorFileSchema.optional(),
	regions: regionsSchema.prefault({}),
	attacks: z.array(beside(attackFields, attackSweepSchema)).default([]),
	purifiers: z.array(beside(purifierFields, purifierSchema)).default([]),
	transfer: z.array(beside(transferFields, classifierSchema)).default([]),
	evaluation: z
		.strictObject({
			repetitions: count.default(1).describe("how often each purifier is repeated on the same image"),
			chunk: count.default(8).describe("images that are computed and committed together"),
			bootstrap: count.default(2000).describe("bootstrap samples of the intervals"),
			confidence: z.number().gt(0).lt(1).default(0.95),
			gallery: whole.default(4).describe("images shown in the report for each attack"),
		})
		.prefault({}),
};

export const experimentSchema = z.strictObject(shape);
export type ExperimentFile = z.output<typeof experimentSchema>;
export type ClassifierFile = ExperimentFile["classifier"];
export type DetectorFile = NonNullable<ExperimentFile["detector"]>;

const json = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
const withOwn = (fields: z.ZodRawShape, inner: z.ZodType) => ({ items: { allOf: [json(z.object(fields)), json(inner)] } });

/** Keys that are valid in an experiment file, as JSON Schema. */
export function experimentKeys(): object {
	const { attacks: _attacks, purifiers: _purifiers, transfer: _transfer, ...plain } = shape;
	const { properties } = json(z.strictObject(plain));
	return {
		properties: {
			...properties,
			attacks: withOwn(attackFields, attackSweepSchema),
			purifiers: withOwn(purifierFields, purifierSchema),
			transfer: withOwn(transferFields, classifierSchema),
		},
	};
}

/** 0.05 as a decimal, 8/255 as a fraction. */
export function epsilonText(epsilon: number): string {
	if (epsilon >= UNBOUNDED) return "unbounded";
	const levels = epsilon * 255;
	const decimal = `${Number(epsilon.toPrecision(4))}`;
	return Math.abs(levels - Math.round(levels)) < 1e-6 && decimal.length > 4 ? `${Math.round(levels)}/255` : decimal;
}

/** What attacks are called that differ in epsilon alone: "fgsm", "pgd-l2-targeted". */
export const familyName = (spec: AttackSpec): string =>
	[spec.name, ...(spec.norm === "l2" ? ["l2"] : []), ...(spec.target === "none" ? [] : ["targeted"])].join("-");
