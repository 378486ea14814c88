/**
 * @file How often `kintsugi grad --check` is right: npx tsx bench/gradient-check.ts [SEEDS]. For every network of test/golden/autodiff,
 * the verdicts about its gradient, and about gradients that are 2 % and 10 % too steep.
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { gradientName } from "../src/autodiff/index.ts";
import { floatTensor, type Graph } from "../src/onnx/index.ts";
import { checkGradient, readModelFile, writeGradientFile } from "../src/runtime/index.ts";
import { exportsOf, fixtureNames } from "../test/support/parity.ts";

const [seeds = "10"] = process.argv.slice(2);
const FACTORS = [1, 1.02, 1.1];

const scaled = (graph: Graph, factor: number): Graph => ({
	...graph,
	initializers: new Map([...graph.initializers, ["factor", floatTensor([factor], [])]]),
	nodes: graph.nodes.map((node) =>
		node.outputs[0] === gradientName("x") ? { ...node, op: "Mul", inputs: [node.inputs[0], "factor"] } : node,
	),
});

const count = (verdicts: readonly string[]) =>
	["agrees", "unclear", "disagrees"].map((name) => verdicts.filter((v) => v === name).length).join(" / ");

async function verdictsOf(model: string): Promise<string[][]> {
	const of = readModelFile(model).outputs.map((v) => v.name);
	const { path } = await writeGradientFile(model, { of, wrt: ["x"] });
	const graph = readModelFile(path);
	const verdicts: string[][] = [];
	for (const factor of FACTORS) {
		const found: string[] = [];
		for (let seed = 0; seed < Number(seeds); seed++) {
			found.push((await checkGradient(scaled(graph, factor), { of, wrt: ["x"], seed })).verdict);
		}
		verdicts.push(found);
	}
	return verdicts;
}

const folder = mkdtempSync(join(tmpdir(), "kintsugi-check-"));
const all: string[][] = FACTORS.map(() => []);
const row = (name: string, verdicts: readonly string[][]) =>
	console.log(`${name.padEnd(34)} ${verdicts.map((v) => count(v).padEnd(16)).join(" ")}`.trimEnd());
console.log(`${"agrees / unclear / disagrees".padEnd(34)} ${FACTORS.map((f) => `times ${f}`.padEnd(16)).join(" ")}`.trimEnd());
try {
	for (const { file } of fixtureNames().flatMap(exportsOf)) {
		if (file === undefined) continue;
		const model = join(folder, basename(file));
		copyFileSync(file, model);
		const verdicts = await verdictsOf(model);
		verdicts.forEach((v, i) => {
			all[i].push(...v);
		});
		row(basename(file), verdicts);
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}
row("all", all);
