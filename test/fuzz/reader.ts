/**
 * @file Fuzzes the ONNX reader: npm run fuzz -- --count 100000 --gradients 2000 --seed 1
 *
 * Every input is a model of test/golden (or one of seeds.ts), damaged; the same seed gives the same inputs. Each is read from memory and
 * from a file; what is accepted is sorted, upgraded, written and read again. Then `gradients` accepted inputs go through freeze, vjp and
 * ONNX Runtime. Everything happens in a child process with a small heap. Fails where anything but acceptance or a KintsugiError came out,
 * where an input took 2 s, and where the child needed more memory than `max-rss`; a crash of ONNX Runtime itself is only reported.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { modelFolder } from "./check-read.ts";
import type { Fault, Job, Report } from "./worker.ts";

const HEAP_MIB = 512;
/** An input that takes longer is taken for one that never ends. */
const HUNG_MS = 60_000;

interface Totals {
	inputs: number;
	accepted: number;
	rows: Map<string, number>;
	faults: Fault[];
	/** Inputs that killed the child, and how. */
	deaths: { index: number; how: string }[];
	slowest: { index: number; ms: number };
	maxRssMiB: number;
}

type Phase = Omit<Job, "from" | "to" | "skip">;

const none = (): Totals => ({
	inputs: 0,
	accepted: 0,
	rows: new Map(),
	faults: [],
	deaths: [],
	slowest: { index: -1, ms: 0 },
	maxRssMiB: 0,
});

const start = (): ChildProcess =>
	fork(join(import.meta.dirname, "worker.ts"), { execArgv: [...process.execArgv, `--max-old-space-size=${HEAP_MIB}`] });

/** Hands one job to the child; rejects with a reason when the child dies or hangs. */
function hand(child: ChildProcess, job: Job): Promise<Report> {
	return new Promise((resolve, reject) => {
		let [last, since] = ["", Date.now()];
		const watch = setInterval(() => {
			const now = readFileSync(job.progress, "utf8");
			if (now !== last) [last, since] = [now, Date.now()];
			else if (Date.now() - since > HUNG_MS) child.kill("SIGKILL");
		}, 1000);
		const done = () => {
			clearInterval(watch);
			child.removeAllListeners();
		};
		child.once("message", (report: Report) => {
			done();
			resolve(report);
		});
		child.once("exit", (code, signal) => {
			done();
			reject(new Error(signal === "SIGKILL" ? "hung" : `died with ${signal ?? code}`));
		});
		child.send(job);
	});
}

function add(totals: Totals, report: Report): void {
	totals.accepted += report.accepted;
	totals.faults.push(...report.faults);
	for (const [row, count] of report.rows) totals.rows.set(row, (totals.rows.get(row) ?? 0) + count);
	if (report.slowest.ms > totals.slowest.ms) totals.slowest = report.slowest;
	totals.maxRssMiB = Math.max(totals.maxRssMiB, report.maxRssMiB);
}

/** Chunks of inputs until `enough`; after a death the chunk is repeated without the input that caused it. */
async function run(phase: Phase, chunk: number, enough: (totals: Totals) => boolean): Promise<Totals> {
	const totals = none();
	let child = start();
	while (!enough(totals)) {
		const from = totals.inputs;
		writeFileSync(phase.progress, `${from}`);
		try {
			const skip = totals.deaths.map((d) => d.index);
			add(totals, await hand(child, { ...phase, from, to: from + chunk, skip }));
			totals.inputs += chunk;
			process.stderr.write(`\r${totals.inputs} inputs, ${totals.accepted} accepted`);
		} catch (error) {
			totals.deaths.push({ index: Number(readFileSync(phase.progress, "utf8")), how: (error as Error).message });
			child = start();
		}
	}
	process.stderr.write("\n");
	child.kill();
	return totals;
}

function print(title: string, totals: Totals): void {
	const out = (line: string) => process.stdout.write(`${line}\n`);
	out(`\n${title}: ${totals.inputs} inputs, ${totals.accepted} accepted`);
	out("| outcome | code | kind | inputs |\n|---|---|---|---|");
	for (const [row, count] of [...totals.rows].sort((a, b) => b[1] - a[1])) out(`| ${row} | ${count} |`);
	for (const { index, how } of totals.deaths) out(`| process ${how} | | input ${index} | 1 |`);
	const { slowest, maxRssMiB } = totals;
	out(`slowest input: ${slowest.ms.toFixed(0)} ms CPU (${slowest.index}); largest memory: ${maxRssMiB.toFixed(0)} MiB`);
	for (const { index, story, what } of totals.faults.slice(0, 20)) out(`\ninput ${index}, ${story}:\n${what}`);
}

async function main(): Promise<void> {
	const { values } = parseArgs({
		options: {
			count: { type: "string", default: "100000" },
			gradients: { type: "string", default: "2000" },
			seed: { type: "string", default: "1" },
			"max-rss": { type: "string", default: "1024" },
		},
	});
	const root = mkdtempSync(join(tmpdir(), "kintsugi-fuzz-"));
	try {
		const common = { seed: Number(values.seed), folder: modelFolder(root), progress: join(root, "progress") };
		const count = Number(values.count);
		const reading = await run({ ...common, gradients: false, limit: 140_000 }, Math.min(count, 1000), (t) => t.inputs >= count);
		print("reading", reading);
		const wanted = Number(values.gradients);
		const gradients = await run({ ...common, gradients: true, limit: 30_000 }, 100, (t) => t.accepted >= wanted);
		print("gradients", gradients);
		const faults = reading.faults.length + reading.deaths.length + gradients.faults.length;
		const large = Math.max(reading.maxRssMiB, gradients.maxRssMiB) > Number(values["max-rss"]);
		if (faults > 0 || large) process.exitCode = 1;
	} finally {
		rmSync(root, { recursive: true, force: true });
	}
}

await main();
