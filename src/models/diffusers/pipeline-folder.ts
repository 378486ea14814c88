/** @file A diffusers folder as a whole: what its model_index.json says. */
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { readJson } from "./config.ts";

/**
 * Checks that a diffusers folder has the components, each of one of the named classes; gives the class of each.
 * Throws `config` where another class is named.
 */
export async function componentClasses<C extends string>(
	folder: string,
	expected: Readonly<Record<C, readonly string[]>>,
): Promise<Record<C, string>> {
	const where = join(folder, "model_index.json");
	const index = await readJson(where);
	const classes: Partial<Record<C, string>> = {};
	for (const [component, names] of Object.entries(expected) as [C, readonly string[]][]) {
		const entry = index[component];
		const found = Array.isArray(entry) ? entry[1] : undefined;
		if (typeof found !== "string" || !names.includes(found)) {
			throw new KintsugiError("config", {
				where,
				expected: `${component}: ${names.join(" or ")}`,
				found: JSON.stringify(entry) ?? "none",
				fix: "use a pipeline made of these classes",
			});
		}
		classes[component] = found;
	}
	return classes as Record<C, string>;
}
