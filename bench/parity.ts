/** @file Writes the parity table of docs/autodiff.md: `npm run parity` (or `-- NAME...` to print some rows only). */
import { existsSync } from "node:fs";
import { exportsOf, fixtureNames, measureParity, measureYolox, readFixture, YOLOX } from "../test/support/parity.ts";
import { printTable, small } from "./parity-table.ts";
import { tableRow } from "./side-by-side.ts";

async function* rows(names: readonly string[]): AsyncGenerator<string> {
	yield tableRow(["network", "exporter", "nodes", "difference", "1 - cosine"]);
	yield "|---|---|---|---|---|";
	for (const name of names.length > 0 ? names : fixtureNames()) {
		const fixture = readFixture(name);
		for (const { exporter, file } of exportsOf(name)) {
			if (!file) {
				yield tableRow([name, exporter, "", `not exported: ${fixture.reasons[exporter]}`, ""]);
				continue;
			}
			const { gradient, nodes } = await measureParity(file, fixture);
			yield tableRow([name, exporter, nodes, small(gradient.relative), small(1 - gradient.cosine)]);
		}
	}
	if (names.length > 0 || !existsSync(YOLOX)) return;
	const { gradient, nodes } = await measureYolox();
	yield tableRow(["YOLOX-nano, 416 x 416 (against float64)", "as published", nodes, small(gradient.relative), small(1 - gradient.cosine)]);
}

const names = process.argv.slice(2);
await printTable(rows(names), { document: new URL("../docs/autodiff.md", import.meta.url), script: "parity" }, names.length === 0);
