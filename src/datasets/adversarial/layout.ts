/** @file Where things lie in an adversarial data set, and what they are called. */
import { KintsugiError } from "../../errors.ts";

export const BUILD_FILE = "build.json";
export const METADATA_FILE = "metadata.jsonl";
export const CARD_FILE = "README.md";
export const NOTICE_FILE = "NOTICE";
export const LOCK_FILE = ".lock";

export const IMAGES_FOLDER = "images";
export const CLEAN_FOLDER = "clean";
export const DELTAS_FOLDER = "deltas";
export const ANNOTATIONS_FOLDER = "annotations";
export const PARQUET_FOLDER = "data";

/** Words in a path that Python's `datasets` takes for the name of a split: the rest of the images would then be left out. */
const SPLIT_WORD = /(?:^|[-._ 0-9/])(?:train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?:[-._ 0-9/]|$)/;

/** Folders of attacks by name: "pgd-4/255" lies in "pgd-4_255". Throws `config` for names that `datasets` misunderstands and for folders that clash. */
export function attackFolders(names: readonly string[]): Map<string, string> {
	const folders = new Map<string, string>();
	for (const name of names) {
		const folder = name.replaceAll("/", "_");
		const clash = [...folders.values(), CLEAN_FOLDER].includes(folder);
		if (clash || SPLIT_WORD.test(folder) || folder.startsWith(".")) {
			throw new KintsugiError("config", {
				where: `attack ${name}`,
				expected: "a name that can be a folder of its own and does not name a split (train, val, test, ...)",
				found: clash ? `the folder ${folder} twice` : folder,
				fix: "give the attack another name with `as`",
			});
		}
		folders.set(name, folder);
	}
	return folders;
}

/** Twelve digits an image, as COCO names its files: the ids themselves where all are numbers, else places from 1 on. */
export function imageStems(ids: readonly string[]): string[] {
	const numbered = ids.every((id) => /^\d{1,12}$/.test(id)) && new Set(ids.map(Number)).size === ids.length;
	return ids.map((id, position) => (numbered ? id : String(position + 1)).padStart(12, "0"));
}

export const imageFile = (folder: string, stem: string): string => `${IMAGES_FOLDER}/${folder}/${stem}.png`;
export const cleanFile = (stem: string): string => `${CLEAN_FOLDER}/${stem}.png`;
export const deltaFile = (folder: string, stem: string): string => `${DELTAS_FOLDER}/${folder}/${stem}.npy`;
export const annotationFile = (folder: string): string => `${ANNOTATIONS_FOLDER}/${folder}.json`;
export const shardFile = (folder: string, n: number): string => `${PARQUET_FOLDER}/${folder}/${String(n).padStart(5, "0")}.parquet`;
