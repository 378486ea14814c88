/** @file An experiment as the recipe of an adversarial data set, and a recipe as an experiment again. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { stringify } from "yaml";
import type { DatasetParts } from "../datasets/adversarial/build.ts";
import type { Recipe } from "../datasets/adversarial/recipe.ts";
import type { Dataset } from "../datasets/dataset.ts";
import { KintsugiError } from "../errors.ts";
import { packageRoot } from "../hub/package-root.ts";
import { BUNDLED_MODELS } from "../hub/registry.ts";
import { toCanvas } from "../image/canvas.ts";
import { decodeImage } from "../image/decode.ts";
import { nearest } from "./complaint.ts";
import { canonicalJson } from "./digest.ts";
import { type Experiment, parseExperiment } from "./load.ts";
import { canvasOptions, openClassifier, openData } from "./open.ts";

export interface DatasetOptions {
	/** Names of the attacks to take; default all. */
	attacks?: readonly string[] | undefined;
	/** Ids of the licences whose images are taken; default all images. */
	licenses?: readonly number[] | undefined;
	/** Whether clean images, and changes before rounding, are stored. */
	clean: boolean;
	deltas: boolean;
	threads: number;
}

/** Opens data and classifier and says in a recipe what they are. The caller closes the classifier. */
export async function openDatasetParts(
	experiment: Experiment,
	{ attacks: wanted, licenses, clean, deltas, threads }: DatasetOptions,
): Promise<{ parts: DatasetParts; recipe: Recipe }> {
	const { base, data, seed, name } = experiment;
	const attacks = chooseAttacks(experiment, wanted);
	const dataset = withLicenses(await openData(experiment), licenses);
	const canvas = canvasOptions(experiment);
	const classifier = await openClassifier(experiment.classifier, { base, canvas, labels: dataset.labels, session: { threads } });
	const { kind, model } = experiment.classifier;
	const recipe: Recipe = {
		experiment: plainData({
			name,
			seed,
			data: { ...data, images: basename(data.images), ...(data.coco === undefined ? {} : { coco: basename(data.coco) }) },
			classifier: {
				...experiment.classifier,
				model: isBundled(model) ? model : basename(model),
				...(kind === "clip" ? { labels: classifier.labels } : {}),
			},
			attacks: attacks.map((attack) => ({ as: attack.name, ...attack.spec })),
		}),
		dataset: { name: dataset.name, sha256: dataset.hash, images: dataset.samples.length },
		classifier: { name: classifier.name, sha256: classifier.hash, labels: [...classifier.labels] },
		licenses: licenses ? [...licenses] : null,
		store: { clean, deltas },
		batch: experiment.evaluation.chunk,
		threads,
	};
	return { parts: { dataset, load: canvasLoader(experiment), classifier, attacks, seed }, recipe };
}

/** The experiment of a recipe, with the places of what a recipe does not know: the model's file and the folder of the source images. */
export function experimentOfRecipe({ experiment }: Recipe, { model, images }: { model?: string; images?: string } = {}): Experiment {
	const parsed = parseExperiment(stringify(experiment), { file: "build.json", lines: false });
	return {
		...parsed,
		classifier: { ...parsed.classifier, ...(model === undefined ? {} : { model }) },
		data: { ...parsed.data, ...(images === undefined ? {} : { images }) },
	};
}

/** Bytes of a file -> canvas, as the experiment wants it. */
export function canvasLoader(experiment: Experiment): DatasetParts["load"] {
	const canvas = canvasOptions(experiment);
	const maxPixels = experiment.data.maxMegapixels * 1e6;
	return async (bytes, path) => toCanvas(await decodeImage(bytes, { name: path, maxPixels }), canvas);
}

export const isBundled = (model: string): boolean => BUNDLED_MODELS.some(({ name }) => name === model);

/** Kintsugi, Node and the libraries that decide bytes; the package pins them exactly. */
export function toolVersions(): Record<string, string> {
	const text = readFileSync(join(packageRoot(), "package.json"), "utf8");
	const { version, dependencies } = JSON.parse(text) as { version: string; dependencies: Record<string, string> };
	const libraries = ["onnxruntime-node", "sharp", "@duckdb/node-api"].map((name) => [name, dependencies[name]]);
	return { kintsugi: version, node: process.versions.node, ...Object.fromEntries(libraries) };
}

const plainData = (value: object): Record<string, unknown> => JSON.parse(canonicalJson(value)) as Record<string, unknown>;

function chooseAttacks({ attacks }: Experiment, wanted: readonly string[] | undefined): Experiment["attacks"] {
	const names = attacks.map(({ name }) => name);
	const unknown = wanted?.find((name) => !names.includes(name));
	if (names.length === 0 || unknown !== undefined) {
		const near = unknown === undefined ? undefined : nearest(unknown, names);
		throw new KintsugiError("config", {
			where: "attacks",
			expected: names.length === 0 ? "at least one attack" : `names out of ${names.join(", ")}`,
			found: unknown ?? "none",
			fix: near ? `write "${near}" instead` : "name an attack of the experiment",
		});
	}
	return wanted ? attacks.filter(({ name }) => wanted.includes(name)) : attacks;
}

function withLicenses(dataset: Dataset, licenses: readonly number[] | undefined): Dataset {
	if (!licenses) return dataset;
	const samples = dataset.samples.filter(({ license }) => license && licenses.includes(license.id));
	if (samples.length > 0) return { ...dataset, samples };
	const known = [...new Set(dataset.samples.flatMap(({ license }) => (license ? [license.id] : [])))].sort((a, b) => a - b);
	throw new KintsugiError("dataset", {
		where: `licences of ${dataset.name}`,
		expected: "ids that some of its images have",
		found: licenses.join(", "),
		fix: known.length > 0 ? `choose among ${known.join(", ")}` : "leave the option out: the source names no licences",
	});
}
