/** @file One row of `metadata.jsonl`: an image under an attack. */
import { z } from "zod";

const text = z.string();
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();
const pair = z.tuple([z.number(), z.number()]);
const ranking = z.strictObject({ labels: z.array(text), logits: z.array(z.number().nullable()) });

const shape = {
	file_name: text.describe("adversarial image, an 8-bit RGB PNG; `image` in `datasets`"),
	clean_file_name: text.optional().describe("the image before the attack; `clean` in `datasets`"),
	delta_file: text.optional().describe("change before rounding, float16 `[3, height, width]`, NPY"),
	image_id: text.describe("id in the source: COCO's image id, or the file's name"),
	source_file: text.describe("file name in the source"),
	source_sha256: hash.describe("sha256 of that file"),
	source_url: text.nullable().describe("where the picture was published, if the source says so"),
	license: text.nullable().describe("licence of the picture, as the source names it"),
	license_url: text.nullable(),
	width: count.describe("of the image here"),
	height: count,
	source_width: count.describe("of the source file, after EXIF rotation"),
	source_height: count,
	canvas_scale: pair.describe("a point (x, y) of the source lies at x * scale[0] + offset[0], y * scale[1] + offset[1]"),
	canvas_offset: pair,
	attack: text.describe("name of the attack"),
	attack_options: text.describe("all options of the attack, as JSON"),
	attack_options_sha256: hash.describe("sha256 of that text"),
	norm: text.describe("norm of the budget"),
	epsilon: z.number().describe("radius of the budget in pixels of [0, 1]; 1000000 stands for none"),
	threat: z.literal("static").describe("the attack knew the classifier and no defence"),
	seed: count,
	labels: z.array(text).nullable().describe("true labels; null if the source has none"),
	target: text.nullable().describe("what a targeted attack wanted to see"),
	top5_before: ranking.describe("the classifier's first labels and logits on the clean image"),
	top5_after: ranking.describe("and on the PNG, read back from disk"),
	already_fooled: z.boolean().describe("the clean image meets the attack's criterion already: no success of the attack"),
	success_before_rounding: z.boolean().describe("the attack's criterion before rounding to 8 bits"),
	success_after_rounding: z.boolean().describe("after rounding, in memory"),
	success_verified: z.boolean().describe("on the PNG, read back from disk: the one to use"),
	linf: z.number().describe("largest change of a pixel's channel, of the PNG"),
	l2: z.number().describe("Euclidean length of the change, of the PNG"),
	zero_gradient: z.boolean().describe("the attack met a gradient of zero everywhere"),
	nan_count: count.describe("values that were not finite"),
	gradient_evaluations: count,
	classifier: text.describe("the network that was attacked"),
	classifier_sha256: hash.describe("sha256 over its weights, graph, labels and prompts"),
	sha256: hash.describe("of the PNG file"),
	clean_sha256: hash.describe("of the clean image's RGB bytes, row by row"),
	delta_sha256: hash.optional().describe("of the NPY file"),
	objects: z
		.strictObject({
			bbox: z.array(z.array(z.number()).length(4)),
			categories: z.array(text),
			category_id: z.array(z.int()),
			iscrowd: z.array(z.boolean()),
		})
		.describe("annotated objects: [x, y, width, height] in pixels of the image here; masks are in annotations/"),
};

export const rowSchema = z.strictObject(shape);
export type AdversarialRow = z.output<typeof rowSchema>;
export type Ranking = AdversarialRow["top5_before"];

/** What every column means. */
export const COLUMNS: readonly { name: string; meaning: string }[] = Object.entries(shape).map(([name, type]) => ({
	name,
	meaning: type.description ?? "",
}));

const RANKING = "STRUCT(labels VARCHAR[], logits DOUBLE[])";

/** Types of the columns in Parquet. */
export const SQL_TYPES: Readonly<Record<keyof AdversarialRow, string>> = {
	file_name: "VARCHAR",
	clean_file_name: "VARCHAR",
	delta_file: "VARCHAR",
	image_id: "VARCHAR",
	source_file: "VARCHAR",
	source_sha256: "VARCHAR",
	source_url: "VARCHAR",
	license: "VARCHAR",
	license_url: "VARCHAR",
	width: "INTEGER",
	height: "INTEGER",
	source_width: "INTEGER",
	source_height: "INTEGER",
	canvas_scale: "DOUBLE[]",
	canvas_offset: "DOUBLE[]",
	attack: "VARCHAR",
	attack_options: "VARCHAR",
	attack_options_sha256: "VARCHAR",
	norm: "VARCHAR",
	epsilon: "DOUBLE",
	threat: "VARCHAR",
	seed: "BIGINT",
	labels: "VARCHAR[]",
	target: "VARCHAR",
	top5_before: RANKING,
	top5_after: RANKING,
	already_fooled: "BOOLEAN",
	success_before_rounding: "BOOLEAN",
	success_after_rounding: "BOOLEAN",
	success_verified: "BOOLEAN",
	linf: "DOUBLE",
	l2: "DOUBLE",
	zero_gradient: "BOOLEAN",
	nan_count: "BIGINT",
	gradient_evaluations: "BIGINT",
	classifier: "VARCHAR",
	classifier_sha256: "VARCHAR",
	sha256: "VARCHAR",
	clean_sha256: "VARCHAR",
	delta_sha256: "VARCHAR",
	objects: "STRUCT(bbox DOUBLE[][], categories VARCHAR[], category_id BIGINT[], iscrowd BOOLEAN[])",
};
