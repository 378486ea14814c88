/** @file What the parity commands share: a table that is printed while it grows and, when it is whole, put into its document. */
import { readFileSync, writeFileSync } from "node:fs";

export const small = (v: number): string => v.toExponential(1);

export interface Place {
	document: URL;
	/** The npm script, which names the marks in the document. */
	script: string;
}

/** Prints the lines; `whole` writes them between the marks of the document. */
export async function printTable(lines: AsyncIterable<string>, { document, script }: Place, whole: boolean): Promise<void> {
	const printed: string[] = [];
	for await (const line of lines) {
		process.stdout.write(`${line}\n`);
		printed.push(line);
	}
	if (!whole) return;
	const begin = `<!-- parity: npm run ${script} -->`;
	const text = readFileSync(document, "utf8");
	const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf("<!-- /parity -->")];
	writeFileSync(document, `${text.slice(0, from)}\n\n${printed.join("\n")}\n\n${text.slice(to)}`);
}
