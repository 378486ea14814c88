import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fakeParts } from "../../test/support/fake-parts.ts";
import { UNBOUNDED } from "../attacks/threat-model.ts";
import { parseExperiment } from "../experiments/load.ts";
import { makePlan } from "../experiments/plan.ts";
import { openRecords } from "../experiments/records.ts";
import type { FinishedRun } from "../experiments/run-experiment.ts";
import { runPlan } from "../experiments/runner.ts";
import { openStore } from "../experiments/store.ts";
import { summarise } from "../experiments/summarise.ts";
import { precisionFigure, successFigure } from "./figures.ts";
import { duration, percent } from "./format.ts";
import { caveats, headline } from "./headline.ts";
import { writeReport } from "./report.ts";
import { attackTable, htmlTable, markdownTable, qualityTable, shortTable, textTable } from "./tables.ts";

let folder: string;
let run: FinishedRun;
let html: string;

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-report-"));
	const paths = ["red-<b>0", "green-1", "blue-2", "red-3"].map((name, n) => {
		const colour = ["red", "green", "blue"].indexOf(name.split("-")[0]);
		const bytes = Uint8Array.from({ length: 48 }, (_, i) => 60 + ((i * 7 + n) % 40) + (Math.floor(i / 16) === colour ? 40 : 0));
		writeFileSync(join(folder, name), n === 3 ? bytes.subarray(1) : bytes);
		return join(folder, name);
	});
	const parts = fakeParts({ paths });
	const plan = makePlan(parts, { seed: 1, chunkSize: 2, repetitions: 1 });
	const records = await openRecords(join(folder, "records.duckdb"));
	const store = await openStore(join(folder, "artifacts"));
	const { rows, failures, warnings } = await runPlan(parts, plan, { store, records });
	records.close();
	const bootstrap = { samples: 100, confidence: 0.95 };
	const summary = summarise({ name: "tiny", parts, plan, rows, failures, warnings, bootstrap });
	run = { summary, rows, failures, store, thresholds: parts.classifier.thresholds };
	const text = "name: tiny\ndata: { images: ., canvas: { size: 4 } }\nclassifier: { kind: clip, model: mini-clip }\n";
	html = readFileSync(await writeReport(parseExperiment(text, { file: "x.yaml" }), run, { out: folder, version: "1.2.3" }), "utf8");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("report", () => {
	it("is one page without scripts and without a network", () => {
		expect(html).not.toMatch(/<script|<link|@import|url\((?!#)/);
		expect([...html.matchAll(/\b(?:src|href)="([^"]{0,10})/g)].every(([, target]) => target.startsWith("data:"))).toBe(true);
	});

	it("escapes what comes from files", () => {
		expect(html).toContain("image red-&lt;b&gt;0");
		expect(html).not.toContain("<b>0");
	});

	it("shows every stage of an image, with labels under it", () => {
		const [row] = html.split('<div class="row">').slice(1);
		const titles = [...row.split("</div></div>")[0].matchAll(/<h4>([^<]+)<\/h4>/g)].map(([, title]) => title);
		expect(titles.slice(0, 5)).toEqual(["clean", "adversarial", "perturbation x 10", "mask: guided", "purified: guided"]);
		expect(row).toContain("&#10003;");
	});

	it("calls attacks static wherever their results stand", () => {
		const tables = [attackTable, qualityTable, shortTable].map((table) => table(run.summary));
		for (const { rows } of tables) {
			for (const [images] of rows) expect(images === "clean" || images.endsWith("(static)")).toBe(true);
		}
		expect(html).toContain("fgsm (static)");
		expect(caveats(run.summary)[0]).toContain("static");
	});

	it("names failed images, hashes and the version", () => {
		for (const part of ["Images that failed", "red-3", "expected 48 bytes", run.summary.experiment.plan, "colours-1", "Kintsugi 1.2.3"]) {
			expect(html).toContain(part);
		}
	});

	it("says in plain words what was measured", () => {
		const said = headline(run.summary).join(" ");
		expect(said).toContain("On 3 images");
		expect(said).toMatch(/guided brought it to \d+\u00a0%/);
	});

	it("tells nothing about precision where there is no truth, and nothing about attacks where there are none", () => {
		const unknown = { value: null, low: null, high: null, n: 0 };
		const blind = { ...run.summary, clean: { ...run.summary.clean, panel: { ...run.summary.clean.panel, precisionAt1: unknown } } };
		expect(precisionFigure(blind)).toBeUndefined();
		expect(successFigure({ ...run.summary, attacks: [] })).toBeUndefined();
		const unbounded = run.summary.attacks.map((attack) => ({ ...attack, epsilon: UNBOUNDED }));
		expect(successFigure({ ...run.summary, attacks: unbounded })).toBeUndefined();
		expect(headline({ ...run.summary, attacks: [] })[0]).toBe("Nothing was attacked.");
	});
});

describe("tables", () => {
	const table = { title: "T", columns: ["a", "longer"], rows: [["x|y", "0.50 [0.25, 0.75]"]] };
	it("line up as text", () => expect(textTable(table)).toBe("T\n\na    longer\n---  -----------------\nx|y  0.50 [0.25, 0.75]"));
	it("escape bars in Markdown", () => expect(markdownTable(table)).toContain("| x\\|y | 0.50 [0.25, 0.75] |"));
	it("put intervals under values in HTML", () => expect(htmlTable(table)).toContain("<td>0.50<small>[0.25, 0.75]</small></td>"));
});

it("prints times and shares as people read them", () => {
	expect([0.2, 3.14, 59, 125, 3725].map(duration)).toEqual(["200 ms", "3.1 s", "59 s", "2 min 5 s", "1 h 2 min"]);
	expect([percent(0.126), percent(null)]).toEqual(["13\u00a0%", "n/a"]);
});
