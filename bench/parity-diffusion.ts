/**
 * @file Writes the parity table of docs/models.md: `npm run parity:diffusion` (or `-- NAME...` to print some rows only). One row a graph of
 * a tiny random checkpoint in the shape of a published one; what diffusers and transformers computed with it is in test/golden/published_tiny,
 * test/golden/lora and test/golden/guided-diffusion.
 */
import { DRAWN } from "../test/golden/drawn.ts";
import { gradientDifference, outputDifference, readTiny, tinyNames } from "../test/support/diffusion-parity.ts";
import { readDrawn } from "../test/support/drawn-parity.ts";
import { LORAS, readLora } from "../test/support/lora-parity.ts";
import { printTable, small } from "./parity-table.ts";
import { tableRow } from "./side-by-side.ts";

const readerOf = (name: string) => (DRAWN.includes(name) ? readDrawn : LORAS.includes(name) ? readLora : readTiny);

async function* rows(names: readonly string[]): AsyncGenerator<string> {
	yield tableRow(["shape of", "class", "output", "largest difference", "of the gradient"]);
	yield "|---|---|---|---|---|";
	for (const name of names.length > 0 ? names : [...tinyNames(), ...LORAS, ...DRAWN]) {
		const { className, parts } = await readerOf(name)(name);
		for (const part of parts) {
			const dims = part.runs[0].expected.dims.join(" x ");
			const gradient = part.gradient ? small(await gradientDifference(part)) : "";
			const label = part.name === "" ? className : `${className}, ${part.name}`;
			yield tableRow([name.replace(/-(unet|vae|text_encoder)$/, ""), label, dims, small(await outputDifference(part)), gradient]);
		}
	}
}

const names = process.argv.slice(2);
await printTable(rows(names), { document: new URL("../docs/models.md", import.meta.url), script: "parity:diffusion" }, names.length === 0);
