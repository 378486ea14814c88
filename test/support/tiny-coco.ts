/** @file A data set of noisy pictures with boxes, masks and licences, and files of folders to compare. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LABELS, pictures } from "./cli.ts";

export const LICENSES = [
	{ id: 2, name: "Attribution-NonCommercial License", url: "http://creativecommons.org/licenses/by-nc/2.0/" },
	{ id: 3, name: "Attribution-NonCommercial-NoDerivs License", url: "http://creativecommons.org/licenses/by-nc-nd/2.0/" },
	{ id: 4, name: "Attribution License", url: "http://creativecommons.org/licenses/by/2.0/" },
];

/** Writes `count` pictures of 16 x 16 and their annotations; returns the `data` of an experiment file. */
export async function tinyCoco(folder: string, count: number): Promise<{ coco: string; images: string; canvas: { size: number } }> {
	const images = await pictures(folder, count);
	const ids = Array.from({ length: count }, (_, n) => n + 40);
	const coco = join(folder, "instances.json");
	const file = {
		licenses: LICENSES,
		images: ids.map((id, n) => ({
			id,
			file_name: `${String(n).padStart(2, "0")}.png`,
			width: 16,
			height: 16,
			license: LICENSES[n % 3].id,
			flickr_url: `http://flickr/${id}`,
		})),
		annotations: ids.flatMap((image_id, n) => {
			const of = { image_id, area: 48, iscrowd: 0 };
			const square = [[2, 3, 10, 3, 10, 9, 2, 9]];
			const crowd = { size: [16, 16], counts: [0, 4, 12, 4, 236] };
			return [
				{ ...of, id: 3 * n + 1, category_id: 10 + (n % 10), bbox: [2, 3, 8, 6], segmentation: square },
				{ ...of, id: 3 * n + 2, category_id: 19, bbox: [0, 0, 4, 4], area: 8, iscrowd: 1, segmentation: crowd },
				...(n === 1 ? [{ ...of, id: 3 * n + 3, category_id: 12, bbox: [2, 3, 8, 6], segmentation: [] }] : []),
			];
		}),
		categories: LABELS.map((name, k) => ({ id: 10 + k, name, supercategory: "number" })),
	};
	writeFileSync(coco, JSON.stringify(file));
	return { coco, images, canvas: { size: 16 } };
}

/** sha256 of every file below a folder, by its path there. */
export function hashesOf(folder: string): Record<string, string> {
	const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
	const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
	return Object.fromEntries(
		paths.map((path) => [path.slice(folder.length + 1), createHash("sha256").update(readFileSync(path)).digest("hex")]),
	);
}
