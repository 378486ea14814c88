import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeOptions, fakeParts } from "../../test/support/fake-parts.ts";
import { random } from "../tensor/random.ts";
import { makePlan, type Parts } from "./plan.ts";
import type { Progress } from "./progress.ts";
import { openRecords, type RecordRow } from "./records.ts";
import { runPlan } from "./runner.ts";
import { openStore } from "./store.ts";

const OPTIONS = { seed: 1, chunkSize: 2, repetitions: 1 };
let folder: string;
let paths: string[];

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-runner-"));
	paths = ["red-0", "green-1", "blue-2", "red-3", "green-4"].map((name, n) => {
		const noise = random(n, "pixels");
		const colour = ["red", "green", "blue"].indexOf(name.split("-")[0]);
		const path = join(folder, name);
		writeFileSync(
			path,
			Uint8Array.from({ length: 48 }, (_, i) => 60 + noise.int(40) + (Math.floor(i / 16) === colour ? 40 : 0)),
		);
		return path;
	});
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
	parts?: Parts;
	options?: Partial<FakeOptions>;
	out?: string;
	plan?: Partial<typeof OPTIONS>;
	signal?: AbortSignal;
	onProgress?: (progress: Progress) => void;
}

async function run({ options, parts = fakeParts({ paths, ...options }), out = "run", plan, signal, onProgress }: Run = {}) {
	const records = await openRecords(join(folder, out, "records.duckdb"));
	try {
		const store = await openStore(join(folder, out, "artifacts"));
		return await runPlan(parts, makePlan(parts, { ...OPTIONS, ...plan }), { store, records, signal, onProgress });
	} finally {
		records.close();
	}
}

const timeless = (rows: readonly RecordRow[]) => rows.map((row) => ({ ...row, secondsAttack: 0, secondsPurify: 0 }));

describe("runPlan", () => {
	it("records one row an image, attack and purifier, and only those that were asked for", async () => {
		const { rows, failures } = await run();
		const of = (image: string) => rows.filter((r) => r.image === image).map((r) => `${r.attack} ${r.purifier}`);
		expect(of("blue-2")).toEqual([
			"clean guided",
			"clean none",
			"fgsm-0.05 guided",
			"fgsm-0.05 none",
			"fgsm-0.2 guided",
			"fgsm-0.2 none",
			"fgsm-0.2 whole",
		]);
		expect(rows).toHaveLength(35);
		expect(failures).toEqual([]);
		const [clean] = rows.filter((r) => r.image === "red-0" && r.attack === "clean" && r.purifier === "none");
		expect(clean).toMatchObject({ truth: ["red"], success: null, linf: 0, scoresAfter: clean.scoresClean });
		const strong = rows.filter((r) => r.attack === "fgsm-0.2" && r.purifier === "none");
		expect(strong.every((r) => r.success === true && r.linf === 51 / 255)).toBe(true);
		const purified = rows.filter((r) => r.purifier === "guided");
		expect(purified.every((r) => r.regions.length === 1 && r.scoresAfter[0] !== r.scoresBefore[0])).toBe(true);
	});

	it("computes nothing twice, and a new purifier does not repeat the attacks", async () => {
		let calls = 0;
		const options = { onPurify: () => calls++ };
		const first = await run({ options });
		const made = calls;
		const second = await run({ options });
		expect(calls).toBe(made);
		expect(second.rows).toEqual(first.rows);
		const attacks = () => readdirSync(join(folder, "run", "artifacts"), { recursive: true }).length;
		const before = attacks();
		const parts = fakeParts({ paths, ...options });
		await run({ parts: { ...parts, purifiers: parts.purifiers.slice(0, 1) } });
		expect(calls).toBe(made);
		expect(attacks()).toBe(before);
	});

	it("continues after an abort at any moment and ends with the same rows", async () => {
		const whole = await run({ out: "whole" });
		let aborted = 0;
		for (let stop = 1; stop < 60; stop += 7) {
			const control = new AbortController();
			let seen = 0;
			const onProgress = () => {
				if (++seen === stop) control.abort();
			};
			await run({ out: "cut", onProgress, signal: control.signal }).catch((error: Error) => {
				if (error.name !== "AbortError") throw error;
				aborted++;
			});
			const oldest = readdirSync(join(folder, "cut", "artifacts"))[0];
			if (oldest) rmSync(join(folder, "cut", "artifacts", oldest), { recursive: true });
		}
		expect(aborted).toBeGreaterThan(5);
		const resumed = await run({ out: "cut" });
		expect(timeless(resumed.rows)).toEqual(timeless(whole.rows));
	});

	it("does not depend on an earlier run's time of computation or order", async () => {
		const a = await run({ out: "a" });
		const b = await run({ out: "b" });
		expect(timeless(b.rows)).toEqual(timeless(a.rows));
	});

	it("recomputes damaged artifacts", async () => {
		const first = await run();
		const pngs = readdirSync(join(folder, "run", "artifacts"), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith("1.png"));
		expect(pngs.length).toBeGreaterThan(5);
		for (const png of pngs) writeFileSync(join(folder, "run", "artifacts", png), "x");
		const second = await run();
		expect(second.damaged).toBe(pngs.length);
		expect(timeless(second.rows)).toEqual(timeless(first.rows));
	});

	it("records a bad image and loses nothing else", async () => {
		const whole = await run({ out: "whole" });
		writeFileSync(paths[1], "cut");
		rmSync(paths[4]);
		const { rows, failures } = await run({ out: "bad" });
		expect(failures.map(({ image, stage, code }) => [image, stage, code])).toEqual([
			["green-1", "canvas", "image"],
			["green-4", "canvas", "image"],
		]);
		const left = whole.rows.filter((r) => !r.image.startsWith("green"));
		const without = (r: RecordRow) => ({ ...r, canvasKey: "", beforeKey: "", afterKey: "", secondsAttack: 0, secondsPurify: 0 });
		expect(rows.map(without)).toEqual(left.map(without));
	});

	it("isolates an image that a later stage cannot handle", async () => {
		const { rows, failures } = await run({ options: { faulty: ["blue-2"] } });
		expect(failures.map((f) => `${f.image}: ${f.stage}`)).toEqual([
			"blue-2: purify guided clean",
			"blue-2: purify guided fgsm-0.05",
			"blue-2: purify guided fgsm-0.2",
			"blue-2: purify whole fgsm-0.2",
		]);
		expect(rows).toHaveLength(31);
	});

	it("counts every unit of work in its progress", async () => {
		const seen: Progress[] = [];
		await run({ onProgress: (p) => seen.push(p) });
		expect(seen.at(-1)).toMatchObject({ done: seen[0].total, secondsLeft: 0 });
		expect(seen.every((p, i) => i === 0 || p.done >= seen[i - 1].done)).toBe(true);
	});
});

describe("makePlan", () => {
	it("names a plan by all that decides its records", () => {
		const parts = fakeParts({ paths });
		const name = (over: Partial<Parts> = {}, options = {}) => makePlan({ ...parts, ...over }, { ...OPTIONS, ...options }).digest;
		expect(name()).toBe(makePlan(fakeParts({ paths }), OPTIONS).digest);
		const changed = [
			name({}, { seed: 2 }),
			name({}, { repetitions: 2 }),
			name({ attacks: parts.attacks.slice(1) }),
			name({ classifier: { ...parts.classifier, hash: "other" } }),
			name({ canvas: { ...parts.canvas, options: { size: 5 } } }),
			name({ purifiers: parts.purifiers.map((p) => ({ ...p, purify: ["clean"] })) }),
			name({ dataset: { ...parts.dataset, samples: parts.dataset.samples.slice(1) } }),
		];
		expect(new Set([name(), ...changed]).size).toBe(changed.length + 1);
	});
});
