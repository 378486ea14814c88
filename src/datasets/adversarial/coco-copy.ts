/** @file The data set once more in the official COCO format, one file an attack, written as a stream. */
import { basename } from "node:path";
import type { Mapping } from "../../image/geometry.ts";
import type { Dataset, License, Sample } from "../dataset.ts";
import { objectsOnCanvas } from "./objects.ts";
import type { AdversarialRow } from "./row.ts";

export interface CocoCopyInput {
	dataset: Dataset;
	/** Said in `info`. */
	description: string;
	/** Rows of one attack; called once for the images and once for the annotations. */
	rows(): AsyncIterable<AdversarialRow>;
	/** Path of the image that stands for a row. */
	fileOf(row: AdversarialRow): string;
}

/** Where a row's source lies on its canvas. */
export const mappingOf = (row: AdversarialRow): Mapping => ({
	from: { height: row.source_height, width: row.source_width },
	to: { height: row.height, width: row.width },
	scaleX: row.canvas_scale[0],
	scaleY: row.canvas_scale[1],
	offsetX: row.canvas_offset[0],
	offsetY: row.canvas_offset[1],
});

/** COCO's number of an image: the digits of its file's name. */
const numberOf = (file: string): number => Number(basename(file, ".png"));

function licensesOf(samples: readonly Sample[]): License[] {
	const byId = new Map(samples.flatMap(({ license }) => (license ? [[license.id, license] as const] : [])));
	return [...byId.values()].sort((a, b) => a.id - b.id);
}

async function* listed<T>(items: AsyncIterable<T>): AsyncGenerator<string> {
	let separator = "\n";
	for await (const item of items) {
		yield separator + JSON.stringify(item);
		separator = ",\n";
	}
}

/** The text of an `instances` file whose file names are relative to the folder of the images. */
export async function* cocoCopy({ dataset, description, rows, fileOf }: CocoCopyInput): AsyncGenerator<string> {
	const samples = new Map(dataset.samples.map((sample) => [sample.id, sample]));
	const categoryIds = new Map(dataset.categories?.map(({ id, name }) => [name, id]));

	async function* images() {
		for await (const row of rows()) {
			const sample = samples.get(row.image_id);
			yield {
				id: numberOf(row.file_name),
				file_name: basename(fileOf(row)),
				width: row.width,
				height: row.height,
				...(sample?.license ? { license: sample.license.id } : {}),
				...(sample?.url ? { flickr_url: sample.url } : {}),
			};
		}
	}
	async function* annotations() {
		let id = 1;
		for await (const row of rows()) {
			for (const { label, box, crowd, segmentation, area } of objectsOnCanvas(
				samples.get(row.image_id)?.annotations ?? [],
				mappingOf(row),
			)) {
				yield {
					id: id++,
					image_id: numberOf(row.file_name),
					category_id: categoryIds.get(label),
					bbox: box,
					area,
					iscrowd: crowd ? 1 : 0,
					// Left out where there is none: FiftyOne fails on an empty list.
					...(segmentation ? { segmentation } : {}),
				};
			}
		}
	}

	yield `{"info":${JSON.stringify({ description, version: "1" })},\n"licenses":${JSON.stringify(licensesOf(dataset.samples))},\n"images":[`;
	yield* listed(images());
	yield `],\n"annotations":[`;
	yield* listed(annotations());
	yield `],\n"categories":${JSON.stringify(dataset.categories ?? [])}}\n`;
}
