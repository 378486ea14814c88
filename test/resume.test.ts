import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { random } from "../src/tensor/random.ts";
import { type CliResult, experiment, kintsugi, pictures, start } from "./support/cli.ts";

let folder: string;
let file: string;
let whole: CliResult;

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-resume-"));
	file = experiment(join(folder, "tiny.yaml"), await pictures(join(folder, "pictures"), 8));
	whole = await kintsugi("run", file, "--out", join(folder, "whole"), "--quiet");
	expect(whole.stderr).toBe("");
	expect(whole.code).toBe(0);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const summary = (out: string) => readFileSync(join(folder, out, "summary.json"), "utf8");

/** Artifacts that lie in a run's folder. */
function artifacts(out: string): number {
	try {
		return readdirSync(join(folder, out, "artifacts"), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith("artifact.json"))
			.length;
	} catch {
		return 0;
	}
}

/** Ends the run once it has stored this many artifacts; false if it was faster. */
async function interrupt(out: string, after: number, signal: NodeJS.Signals): Promise<CliResult> {
	const { child, result } = start(["run", file, "--out", join(folder, out), "--quiet"]);
	while (child.exitCode === null && artifacts(out) < after) await sleep(5);
	child.kill(signal);
	return result;
}

it("killed at random moments and started again, ends with the same summary", async () => {
	const draw = random("kill");
	const total = artifacts("whole");
	expect(total).toBeGreaterThan(40);
	let killed = 0;
	for (const share of [0.2, 0.7]) {
		const { code } = await interrupt("killed", Math.floor(total * share) + draw.int(4), "SIGKILL");
		if (code === null) killed++;
	}
	expect(killed).toBeGreaterThan(0);
	const { code, stdout } = await kintsugi("run", file, "--out", join(folder, "killed"), "--quiet");
	expect(code).toBe(0);
	expect(summary("killed")).toBe(summary("whole"));
	expect(stdout.split("Report:")[0]).toBe(whole.stdout.split("Report:")[0]);
	expect(readdirSync(join(folder, "killed", "artifacts")).filter((name) => name.startsWith("tmp-"))).toEqual([]);
}, 300_000);

it("stops cleanly on Ctrl-C, says how to go on, and goes on", async () => {
	const { code, stderr, stdout } = await interrupt("stopped", 10, "SIGINT");
	expect([code, stdout]).toEqual([1, ""]);
	expect(stderr).toContain("stopped; run the same command to continue");
	expect((await kintsugi("run", file, "--out", join(folder, "stopped"), "--quiet")).code).toBe(0);
	expect(summary("stopped")).toBe(summary("whole"));
}, 180_000);

it("has the same summary in another folder, and another one for another seed", async () => {
	await kintsugi("run", file, "--out", join(folder, "again"), "--quiet");
	expect(summary("again")).toBe(summary("whole"));
	await kintsugi("run", file, "--out", join(folder, "again"), "--seed", "1", "--quiet");
	expect(summary("again")).not.toBe(summary("whole"));
	expect(summary("whole")).not.toContain(folder);
}, 180_000);
