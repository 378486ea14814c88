/** @file Reproducible subsets of a data set. */
import { createHash } from "node:crypto";
import { KintsugiError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import type { Dataset, Sample } from "./dataset.ts";

export interface SubsetOptions {
	/** Number of images; default: all that qualify. */
	count?: number;
	seed?: number;
	/** Images with fewer annotations are left out. */
	minObjects?: number;
	/** `all` of the data set's labels, only those `present` in the subset (the paper's 79 or 80 classes), or a list. */
	labels?: "all" | "present" | readonly string[];
}

/**
 * `count` images chosen by `seed`, in the data set's order. Each image's chance depends on the seed and its id alone,
 * so a larger count only adds images. Throws `dataset` if fewer than `count` images qualify, `value` for unknown labels.
 */
export function subset(dataset: Dataset, { count, seed = 0, minObjects = 0, labels = "all" }: SubsetOptions = {}): Dataset {
	const enough = dataset.samples.filter((sample) => (sample.annotations?.length ?? 0) >= minObjects);
	const wanted = count ?? enough.length;
	if (wanted < 1 || wanted > enough.length) {
		throw new KintsugiError("dataset", {
			where: `subset of ${dataset.name}`,
			expected: `a count from 1 to the number of images with ${minObjects} objects or more`,
			found: `${wanted} of ${enough.length}`,
			fix: "lower the count or the number of objects",
		});
	}
	const draws = new Map(enough.map((sample) => [sample, random(seed, "subset", sample.id).uniform()]));
	const chosen = new Set(enough.toSorted((a, b) => (draws.get(a) ?? 0) - (draws.get(b) ?? 0)).slice(0, wanted));
	const samples = dataset.samples.filter((sample) => chosen.has(sample));
	const kept = chooseLabels(dataset, samples, labels);
	const hash = createHash("sha256").update(JSON.stringify([dataset.hash, samples.map(({ id }) => id), kept]));
	return { ...dataset, hash: hash.digest("hex"), labels: kept, samples };
}

function chooseLabels(dataset: Dataset, samples: readonly Sample[], labels: "all" | "present" | readonly string[]): readonly string[] {
	if (labels === "all") return dataset.labels;
	if (labels === "present") {
		const present = new Set(samples.flatMap((sample) => (sample.annotations ?? []).map(({ label }) => label)));
		return dataset.labels.filter((label) => present.has(label));
	}
	const unknown = labels.filter((label) => !dataset.labels.includes(label));
	if (unknown.length === 0) return labels;
	throw new KintsugiError("value", {
		where: `labels of ${dataset.name}`,
		expected: `names out of ${dataset.labels.join(", ")}`,
		found: unknown.map((label) => `"${label}"`).join(", "),
		fix: "correct the names",
	});
}
