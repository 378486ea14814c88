import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { random } from "../src/tensor/random.ts";
import { type CliResult, experiment, inProcess, kintsugi, start, TINY_CNN } from "./support/cli.ts";
import { hashesOf, tinyCoco } from "./support/tiny-coco.ts";

const COUNT = 12;
let folder: string;
let file: string;
let whole: Record<string, string>;
const at = (...parts: string[]) => join(folder, ...parts);
const build = (out: string) => ["dataset", "build", file, "-o", at(out), "--deltas", "--quiet"];

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-dataset-resume-"));
	file = experiment(at("tiny.yaml"), "", {
		data: await tinyCoco(at("source"), COUNT),
		attacks: [
			{ name: "pgd", epsilon: 0.05, stepSize: 0.01, steps: 100, as: "pgd" },
			{ name: "fgsm", epsilon: 0.05 },
		],
		purifiers: [],
		evaluation: { chunk: 2 },
	});
	expect(await kintsugi(...build("whole"))).toMatchObject({ code: 0, stderr: "" });
	whole = hashesOf(at("whole"));
	await interrupt("begun", 1, { signal: "SIGKILL" });
	expect(written("begun")).toBeLessThan(written("whole"));
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Bytes of the rows that are there. */
function written(out: string): number {
	try {
		return readFileSync(at(out, "metadata.jsonl")).length;
	} catch {
		return 0;
	}
}

/** Ends the build some milliseconds after its rows have grown to this size. */
async function interrupt(out: string, size: number, { signal, delay = 0 }: { signal: NodeJS.Signals; delay?: number }): Promise<CliResult> {
	const { child, result } = start(build(out));
	while (child.exitCode === null && written(out) < size) await sleep(1);
	await sleep(delay);
	child.kill(signal);
	return result;
}

it("killed at random moments and started again, ends with the same bytes", async () => {
	const draw = random("kill-dataset");
	const all = written("whole");
	let killed = 0;
	let before = 0;
	for (const share of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
		const { code } = await interrupt("killed", Math.floor(all * share), { signal: "SIGKILL", delay: draw.int(30) });
		if (code === null) killed++;
		// Nothing that was written is lost.
		expect(written("killed")).toBeGreaterThanOrEqual(before);
		before = written("killed");
	}
	expect(killed).toBeGreaterThan(3);
	expect(await kintsugi(...build("killed"))).toMatchObject({ code: 0 });
	expect(hashesOf(at("killed"))).toEqual(whole);
	expect((await inProcess("dataset", "verify", at("killed"), "--model", TINY_CNN, "--quiet")).stdout).toMatch(/^sound/);
}, 300_000);

it("stops cleanly on Ctrl-C, says how to go on, and goes on", async () => {
	const { code, stderr, stdout } = await interrupt("stopped", 1, { signal: "SIGINT" });
	expect([code, stdout]).toEqual([1, ""]);
	expect(stderr).toContain("stopped; run the same command to continue");
	expect((await inProcess(...build("stopped"))).code).toBe(0);
	expect(hashesOf(at("stopped"))).toEqual(whole);
}, 180_000);

it.each<[string, (out: string) => void]>([
	["half a row", (out) => appendFileSync(at(out, "metadata.jsonl"), '{"file_name":"images/pg')],
	["a row that lost half of itself", (out) => truncateSync(at(out, "metadata.jsonl"), written(out) - 500)],
	["a row that lost its line break", (out) => truncateSync(at(out, "metadata.jsonl"), written(out) - 1)],
	["a picture that lost its bytes", (out) => writeFileSync(at(out, "images/pgd/000000000040.png"), "")],
	["a picture that is gone", (out) => rmSync(at(out, "images/pgd/000000000041.png"))],
	["a file that has only its temporary name", (out) => writeFileSync(at(out, "images/pgd/000000000050.png.new"), "half")],
	["the lock of a process that is gone", (out) => writeFileSync(at(out, ".lock"), "999999999")],
])(
	"mends what a power cut may leave behind: %s",
	async (name, damage) => {
		const out = `mended ${name}`;
		await interrupt(out, 1, { signal: "SIGKILL" });
		damage(out);
		expect((await inProcess(...build(out))).code).toBe(0);
		expect(hashesOf(at(out))).toEqual(whole);
	},
	120_000,
);

it("refuses a damaged row in the middle instead of guessing", async () => {
	cpSync(at("whole"), at("middle"), { recursive: true });
	const text = readFileSync(at("middle", "metadata.jsonl"), "utf8");
	writeFileSync(at("middle", "metadata.jsonl"), text.replace('"image_id":"41"', '"image_id":41'));
	const { code, stderr } = await inProcess(...build("middle"));
	expect([code, stderr]).toEqual([1, expect.stringMatching(/metadata\.jsonl:\d+: .*image_id/)]);
}, 120_000);
