import { describe, expect, it } from "vitest";
import type { Dataset } from "./dataset.ts";
import { subset } from "./subset.ts";
import { multiHot } from "./targets.ts";

const annotation = (label: string) => ({ label, box: [0, 0, 1, 1] as const, crowd: label === "d" });
const labels = ["a", "b", "c", "d"];
/** Sample i has i % 4 objects: a, b, c. */
const dataset: Dataset = {
	name: "toy",
	hash: "h",
	labels,
	samples: Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, path: `/${i}.png`, annotations: labels.slice(0, i % 4).map(annotation) })),
};
const ids = ({ samples }: Dataset) => samples.map(({ id }) => Number(id));

describe("subset", () => {
	it("is the same for the same seed, another for another", () => {
		const chosen = subset(dataset, { count: 10, seed: 1 });
		expect(ids(chosen)).toHaveLength(10);
		expect(subset(dataset, { count: 10, seed: 1 })).toEqual(chosen);
		expect(ids(subset(dataset, { count: 10, seed: 2 }))).not.toEqual(ids(chosen));
		expect(subset(dataset, { count: 10, seed: 2 }).hash).not.toBe(chosen.hash);
	});

	it("keeps the data set's order and only grows with the count", () => {
		const small = ids(subset(dataset, { count: 10, seed: 1 }));
		const large = ids(subset(dataset, { count: 25, seed: 1 }));
		expect(small).toEqual(small.toSorted((a, b) => a - b));
		expect(large).toEqual(expect.arrayContaining(small));
	});

	it("does not depend on the order of the samples", () => {
		const reversed = { ...dataset, samples: dataset.samples.toReversed() };
		expect(ids(subset(reversed, { count: 10, seed: 1 })).toReversed()).toEqual(ids(subset(dataset, { count: 10, seed: 1 })));
	});

	it("leaves out images with few objects", () => {
		expect(ids(subset(dataset, { minObjects: 3 }))).toEqual([3, 7, 11, 15, 19, 23, 27, 31, 35, 39]);
		expect(() => subset(dataset, { minObjects: 3, count: 11 })).toThrow(/found 11 of 10/);
	});

	it("keeps all labels, those present, or those named", () => {
		const few = { ...dataset, samples: dataset.samples.slice(0, 3) };
		expect(subset(few).labels).toEqual(labels);
		expect(subset(few, { labels: "present" }).labels).toEqual(["a", "b"]);
		expect(subset(few, { labels: ["c", "a"] }).labels).toEqual(["c", "a"]);
		expect(() => subset(few, { labels: ["x"] })).toThrow(/found "x"/);
	});
});

describe("multiHot", () => {
	it("marks the labels present, crowds included, once each", () => {
		const sample = { id: "1", path: "/1.png", annotations: [annotation("c"), annotation("d"), annotation("c"), annotation("elsewhere")] };
		expect([...multiHot(sample, labels)]).toEqual([0, 0, 1, 1]);
		expect([...multiHot({ ...sample, annotations: [] }, labels)]).toEqual([0, 0, 0, 0]);
	});

	it("refuses an image without labels", () => {
		expect(() => multiHot({ id: "1", path: "/1.png" }, labels)).toThrow(/1\.png: expected annotations/);
	});
});
