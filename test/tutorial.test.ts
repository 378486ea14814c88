/** @file The tutorial of docs/autodiff.md: its code is run, and what it prints must stand there. `npx vitest run test/tutorial.test.ts -u` writes it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const DOORS: Record<string, string> = {
	kintsugi: "src/index.ts",
	"kintsugi/onnx": "src/onnx/index.ts",
	"kintsugi/autodiff": "src/autodiff/index.ts",
};
const BLOCK = /```(ts|text)\n([\s\S]*?)```/g;
const MARK = "--- end of block ---";

/** What each `ts` block prints, in order. */
function run(blocks: readonly string[]): string[] {
	const program = blocks
		.map((code) => `${code}console.log(${JSON.stringify(MARK)});\n`)
		.join("")
		.replaceAll(/from "(kintsugi[a-z/]*)"/g, (_, door: string) => `from ${JSON.stringify(pathToFileURL(join(root, DOORS[door])).href)}`);
	const folder = mkdtempSync(join(root, "test/.tutorial-"));
	try {
		const file = join(folder, "tutorial.ts");
		writeFileSync(file, program);
		const printed = execFileSync(process.execPath, ["--import", "tsx", file], { cwd: root, encoding: "utf8" });
		return printed.split(`${MARK}\n`).slice(0, -1);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

describe("docs/autodiff.md", () => {
	it("prints what its tutorial says", async () => {
		const text = readFileSync(join(root, "docs/autodiff.md"), "utf8");
		const [from, to] = [text.indexOf("<!-- tutorial -->"), text.indexOf("<!-- /tutorial -->")];
		expect(from).toBeGreaterThan(0);
		const tutorial = text.slice(from, to);
		const blocks = [...tutorial.matchAll(BLOCK)].filter(([, kind]) => kind === "ts").map(([, , code]) => code);
		expect(blocks.length).toBeGreaterThan(5);
		const printed = run(blocks);
		let at = -1;
		const written = tutorial.replaceAll(BLOCK, (block, kind: string) => {
			if (kind === "text") return `\`\`\`text\n${printed[at]}\`\`\``;
			at++;
			return block;
		});
		await expect(text.slice(0, from) + written + text.slice(to)).toMatchFileSnapshot("../docs/autodiff.md");
	}, 30_000);
});
