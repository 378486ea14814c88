/** @file Where external tensor data may lie: inside the model's folder and nowhere else. */
import { KintsugiError } from "../errors.ts";

/** The folder part of a path, "" if it has none. Paths use "/" (or "\" on Windows). */
export function folderOf(path: string): string {
	const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
	return cut < 0 ? "" : path.slice(0, Math.max(cut, 1));
}

/** Joins a model's folder with an external location; throws `onnx` if the location could leave the folder. */
export function externalFile(where: string, folder: string, location: string): string {
	const parts = location.split(/[/\\]/);
	const leaves = location === "" || /^([/\\]|[A-Za-z]:)/.test(location) || parts.includes("..") || location.includes("\0");
	if (leaves) {
		throw new KintsugiError("onnx", {
			where,
			expected: "external data inside the model's folder",
			found: `the location ${JSON.stringify(location)}`,
			fix: "do not open this file unless you trust its source; a correct export names a file beside the model",
		});
	}
	const base = folder.endsWith("/") ? folder : `${folder}/`;
	return base + parts.filter((part) => part !== "" && part !== ".").join("/");
}

/** Location of `file` relative to `folder`; throws `onnx` if it lies elsewhere (the standard allows no other place). */
export function locationIn(folder: string, file: string): string {
	const base = folder.endsWith("/") ? folder : `${folder}/`;
	if (!file.startsWith(base)) {
		throw new KintsugiError("onnx", {
			where: `writing a model to ${folder}`,
			expected: "weights below that folder",
			found: file,
			fix: "write the model beside its weights, or inline them",
		});
	}
	return file.slice(base.length);
}
