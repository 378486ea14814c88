/** @file Writes the parity table of docs/autodiff.md: `npm run parity` (or `-- NAME...` to print some rows only). */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { exportsOf, fixtureNames, measureParity, measureYolox, readFixture, YOLOX } from "../test/support/parity.ts";

const DOCUMENT = new URL("../docs/autodiff.md", import.meta.url);
const [BEGIN, END] = ["<!-- parity: npm run parity -->", "<!-- /parity -->"];

const row = (...cells: (string | number)[]) => `| ${cells.join(" | ")} |`;
const small = (v: number) => v.toExponential(1);

async function* rows(names: readonly string[]): AsyncGenerator<string> {
	yield row("network", "exporter", "nodes", "difference", "1 - cosine");
	yield "|---|---|---|---|---|";
	for (const name of names.length > 0 ? names : fixtureNames()) {
		const fixture = readFixture(name);
		for (const { exporter, file } of exportsOf(name)) {
			if (!file) {
				yield row(name, exporter, "", `not exported: ${fixture.reasons[exporter]}`, "");
				continue;
			}
			const { gradient, nodes } = await measureParity(file, fixture);
			yield row(name, exporter, nodes, small(gradient.relative), small(1 - gradient.cosine));
		}
	}
	if (names.length > 0 || !existsSync(YOLOX)) return;
	const { gradient, nodes } = await measureYolox();
	yield row("YOLOX-nano, 416 x 416 (against float64)", "as published", nodes, small(gradient.relative), small(1 - gradient.cosine));
}

const names = process.argv.slice(2);
const lines: string[] = [];
for await (const line of rows(names)) {
	process.stdout.write(`${line}\n`);
	lines.push(line);
}
if (names.length === 0) {
	const text = readFileSync(DOCUMENT, "utf8");
	const [from, to] = [text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)];
	writeFileSync(DOCUMENT, `${text.slice(0, from)}\n${lines.join("\n")}\n${text.slice(to)}`);
}
