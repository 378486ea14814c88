/** @file The folder of this package, from its sources as well as from its build. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The nearest folder above `from` (a file: URL) that holds a package.json. */
export function packageRoot(from: string = import.meta.url): string {
	let folder = dirname(fileURLToPath(from));
	while (!existsSync(join(folder, "package.json")) && folder !== dirname(folder)) folder = dirname(folder);
	return folder;
}
