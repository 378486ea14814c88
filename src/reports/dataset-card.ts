/** @file The card of an adversarial data set: `README.md` with the header that the Hugging Face Hub reads. */
import { stringify } from "yaml";
import { attackFolders } from "../datasets/adversarial/layout.ts";
import type { BuildRecord } from "../datasets/adversarial/recipe.ts";
import { COLUMNS } from "../datasets/adversarial/row.ts";
import type { LicenseStatistics, Statistics } from "../datasets/adversarial/statistics.ts";
import { SCENES_LICENSE } from "../datasets/scenes/license.ts";
import { epsilonText } from "../experiments/schema.ts";
import { wilson } from "../metrics/intervals.ts";
import { interval } from "./format.ts";
import { markdownTable } from "./tables.ts";

/** Upper limits of the Hub's size categories. */
const SIZES: readonly (readonly [number, string])[] = [
	[1e3, "n<1K"],
	[1e4, "1K<n<10K"],
	[1e5, "10K<n<100K"],
	[1e6, "100K<n<1M"],
	[Number.POSITIVE_INFINITY, "1M<n<10M"],
];

/** The split of every row: adversarial images are for measuring. */
const SPLIT = "test";

function header({ recipe }: BuildRecord, { rows, attacks }: Statistics): string {
	const folders = attackFolders(attacks.map(({ attack }) => attack));
	const files = (path: string) => [{ split: SPLIT, path }];
	return stringify({
		pretty_name: title(recipe.dataset.name, recipe.classifier.name),
		license: "other",
		license_name: "by-image",
		task_categories: ["image-classification", "object-detection"],
		tags: ["adversarial-examples", "robustness", "multi-label", "coco"],
		size_categories: [SIZES.find(([limit]) => rows < limit)?.[1]],
		configs: [
			{ config_name: "default", data_files: files("data/*/*.parquet") },
			...[...folders.values()].map((folder) => ({ config_name: folder, data_files: files(`data/${folder}/*.parquet`) })),
		],
	});
}

const title = (dataset: string, classifier: string): string => `Adversarial images: ${dataset}, against ${classifier}`;

function attackTable({ attacks }: Statistics): string {
	return markdownTable({
		title: "",
		columns: [
			"attack (static)",
			"norm",
			"epsilon",
			"success means",
			"n",
			"success, read back",
			"before rounding",
			"already fooled",
			"largest change",
			"mean L2",
		],
		rows: attacks.map((a) => {
			const options = JSON.parse(a.options) as { norm: string; epsilon: number; criterion: string };
			const n = a.images - a.alreadyFooled;
			return [
				a.attack,
				options.norm,
				epsilonText(options.epsilon),
				options.criterion,
				String(n),
				interval(wilson(a.successes, n)),
				interval(wilson(a.successesBeforeRounding, n)),
				String(a.alreadyFooled),
				`${Math.round(a.linf * 255)}/255`,
				a.l2.toFixed(2),
			];
		}),
	});
}

/** Creative Commons licences whose conditions touch a changed copy, by the part of their address that says so. */
const CONDITIONS: readonly (readonly [RegExp, string])[] = [
	[/by[a-z-]*-nd\b/, "no changed copies may be shared"],
	[/by-nc/, "not for commercial use"],
	[/by[a-z-]*-sa\b/, "changed copies under the same licence"],
	[/licenses\/by/, "name the author"],
];

const conditionsOf = ({ url }: LicenseStatistics): string =>
	CONDITIONS.flatMap(([pattern, condition]) => (pattern.test(url ?? "") ? [condition] : [])).join("; ");

function licenses({ licenses, images }: Statistics): string {
	const table = markdownTable({
		title: "",
		columns: ["licence", "images", "address", "among its conditions"],
		rows: licenses.map((l) => [l.name ?? "not stated by the source", String(l.images), l.url ?? "", conditionsOf(l)]),
	});
	const fixed = licenses.filter((l) => /-nd\b/.test(l.url ?? "")).reduce((sum, l) => sum + l.images, 0);
	const unknown = licenses.filter(({ name }) => name === null).reduce((sum, l) => sum + l.images, 0);
	return [
		"An adversarial image is a changed copy of its source and stands under the source's licence. Each row carries it (`license`, `license_url`) and, where known, the address at which the picture was published (`source_url`).",
		table,
		...(fixed > 0
			? [
					`**${fixed} of ${images} images may not be shared in changed form (NoDerivs).** Leave them out of what you publish: \`kintsugi dataset build --licenses\` takes the ids of the licences to keep.`,
				]
			: []),
		...(unknown > 0 ? [`The source states no licence for ${unknown} of ${images} images: find out before you share them.`] : []),
		...(licenses.some(({ name }) => name === SCENES_LICENSE.name)
			? ["The licences and attributions of the glyphs are in `NOTICE`; keep it with the images."]
			: []),
	].join("\n\n");
}

/** The recipe as an experiment file is written. */
function experimentText({ recipe: { experiment } }: BuildRecord): string {
	const { name, seed, data, classifier, attacks } = experiment;
	return stringify({ name, seed, data, classifier, attacks });
}

const code = (language: string, text: string): string => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;

/** Writes the card. Every figure in it comes from the rows. */
export function datasetCard(build: BuildRecord, statistics: Statistics): string {
	const { recipe } = build;
	const { clean, deltas } = recipe.store;
	const { images, rows, objects, width, height, attacks } = statistics;
	const [first] = attackFolders(attacks.map(({ attack }) => attack)).values();
	const sections = [
		`---\n${header(build, statistics)}---`,
		`# ${title(recipe.dataset.name, recipe.classifier.name)}`,
		`${rows} adversarial images: ${images} images of ${width} x ${height} pixels with ${objects} annotated objects, under ${attacks.length} attacks on \`${recipe.classifier.name}\` (${recipe.classifier.labels.length} labels). Every picture is an 8-bit PNG whose success was measured after reading it back from the disk.`,
		"## How strong the attacks are",
		"n counts the images that did not meet the criterion before they were attacked; intervals are Wilson's, 95 %.",
		attackTable(statistics),
		"## What is in it",
		[
			"- `metadata.jsonl`: a row for each image and attack, in the form of Hugging Face's ImageFolder",
			"- `images/ATTACK/ID.png`: the adversarial images, 8-bit RGB",
			...(clean ? ["- `clean/ID.png`: the same images before the attack"] : []),
			...(deltas ? ["- `deltas/ATTACK/ID.npy`: the change before rounding, float16 `[3, height, width]`, pixels of [0, 1]"] : []),
			"- `data/ATTACK/*.parquet`: rows and pictures together; one configuration an attack, and `default` with all",
			`- \`annotations/ATTACK.json\`: boxes and masks in COCO's format, moved to these images; file names are relative to \`images/ATTACK\`${clean ? " (`clean.json`: to `clean`)" : ""}`,
			"- `build.json`: the recipe, the programs and the sha256 of all other files",
		].join("\n"),
		"It has one split, `test`: these images are for measuring (ImageFolder, which knows no splits here, calls it `train`).",
		code(
			"python",
			`from datasets import load_dataset
load_dataset("FOLDER", "${first}", split="test")                # pictures and rows, from Parquet
load_dataset("imagefolder", data_dir="FOLDER", split="train")  # the same from metadata.jsonl

from pycocotools.coco import COCO
COCO("FOLDER/annotations/${first}.json")

import fiftyone as fo
fo.Dataset.from_dir(
    dataset_type=fo.types.COCODetectionDataset,
    data_path="FOLDER/images/${first}",
    labels_path="FOLDER/annotations/${first}.json",
    label_types=["detections", "segmentations"],
)`,
		),
		"### Columns",
		markdownTable({
			title: "",
			columns: ["column", "meaning"],
			rows: COLUMNS.filter(({ name }) => (clean || name !== "clean_file_name") && (deltas || !name.startsWith("delta_"))).map(
				({ name, meaning }) => [`\`${name}\``, meaning],
			),
		}),
		"## How it was made",
		`With Kintsugi ${build.versions.kintsugi ?? ""}. This experiment file, with the data and the model in place, makes the same images:`,
		code("yaml", experimentText(build)),
		markdownTable({
			title: "",
			columns: ["", "sha256"],
			rows: [
				["recipe", build.recipe_sha256],
				[`source images and annotations (${recipe.dataset.name})`, recipe.dataset.sha256],
				[`classifier (${recipe.classifier.name})`, recipe.classifier.sha256],
			],
		}),
		"`kintsugi dataset verify FOLDER` checks every hash, budget and success again.",
		"## Licences",
		licenses(statistics),
		"## Uses and limits",
		[
			"- The attacks are static: they knew this one classifier and no defence. How other networks or defended ones fare on these images says nothing about an attack that is made for them.",
			"- Success is that of the criterion named above, on this classifier; images on which an attack failed are in the set, too (`success_verified`), and so are images that met the criterion already (`already_fooled`).",
			`- The images are canvases: sources brought to ${width} x ${height} pixels. \`canvas_scale\` and \`canvas_offset\` lead back.`,
			"- Saving a picture as JPEG, or scaling it, changes or destroys the perturbation. Keep the PNG.",
			"- Source, labels and annotations have the biases and errors of the data set they come from; nothing was corrected.",
			...(build.skipped.length > 0
				? [`- ${build.skipped.length} images of the source could not be used and are missing; \`build.json\` names them.`]
				: []),
		].join("\n"),
	];
	return `${sections.join("\n\n")}\n`;
}
