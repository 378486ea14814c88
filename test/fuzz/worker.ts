/** @file The process that reads damaged models; reader.ts starts it, adds up what it reports, and notices when it dies. */
import { openSync, writeSync } from "node:fs";
import type { KintsugiError } from "../../src/errors.ts";
import { checkGradient } from "./check-gradient.ts";
import { checkRead } from "./check-read.ts";
import { mutant } from "./mutate.ts";
import { type Seed, seedModels } from "./seeds.ts";

export interface Job {
	seed: number;
	/** Numbers of the inputs: [from, to), without those that killed an earlier process. */
	from: number;
	to: number;
	skip: readonly number[];
	/** Take accepted graphs on through freeze and vjp. */
	gradients: boolean;
	/** Bytes of the largest seed model. */
	limit: number;
	/** Folder of the damaged model and its weights. */
	folder: string;
	/** Where the number of the input at hand is written, for whoever has to say what killed this process. */
	progress: string;
}

export interface Fault {
	index: number;
	story: string;
	what: string;
}

export interface Report {
	/** "outcome | code | kind" -> inputs. */
	rows: [row: string, count: number][];
	accepted: number;
	faults: Fault[];
	/** CPU time, which others on the machine do not change. */
	slowest: { index: number; ms: number };
	maxRssMiB: number;
}

/** An input must not take longer. */
const SLOW_MS = 2000;

/** What an error expected, without the names and numbers of one file. */
function kindOf({ code, parts }: KintsugiError): string {
	const kind = parts.expected
		.replace(/'[^']*'/gs, "'...'")
		.replace(/\[.*\]/gs, "[...]")
		.replace(/for (\w+) \[/, "for T [")
		.replace(/within .* \(/s, "within FILE (")
		.replace(/the weights of .*/s, "the weights of FILE")
		.replace(/.* to depend on/s, "VALUES to depend on")
		.replace(/-?(Infinity|\d[\d.e+]*)/g, "N");
	return `refused | ${code} | ${kind}`;
}

async function outcomeOf(bytes: Uint8Array, job: Job): Promise<{ row: string; accepted: boolean; fault?: string }> {
	const read = checkRead(bytes, job.folder);
	if ("fault" in read) return { row: "anything else | |", accepted: false, fault: read.fault };
	if ("refused" in read) return { row: kindOf(read.refused), accepted: false };
	if (!job.gradients) return { row: "accepted | |", accepted: true };
	const gradient = await checkGradient(read.accepted);
	if (typeof gradient === "string") return { row: `${gradient} | |`, accepted: true };
	if ("fault" in gradient) return { row: "anything else | |", accepted: true, fault: gradient.fault };
	return { row: kindOf(gradient.refused), accepted: true };
}

async function work(job: Job, seeds: readonly Seed[]): Promise<Report> {
	const progress = openSync(job.progress, "w");
	const rows = new Map<string, number>();
	const report: Report = { rows: [], accepted: 0, faults: [], slowest: { index: -1, ms: 0 }, maxRssMiB: 0 };
	for (let index = job.from; index < job.to; index++) {
		if (job.skip.includes(index)) continue;
		writeSync(progress, `${index}`.padStart(12), 0);
		const { bytes, story } = mutant(seeds, job.seed, index);
		const start = process.cpuUsage();
		const { row, accepted, fault } = await outcomeOf(bytes, job);
		const { user, system } = process.cpuUsage(start);
		const ms = (user + system) / 1000;
		if (ms > report.slowest.ms) report.slowest = { index, ms };
		if (fault !== undefined) report.faults.push({ index, story, what: fault });
		if (ms > SLOW_MS && !job.gradients) report.faults.push({ index, story, what: `took ${ms.toFixed(0)} ms` });
		if (accepted) report.accepted++;
		// With gradients only what was accepted is of interest.
		if (accepted || !job.gradients) rows.set(row, (rows.get(row) ?? 0) + 1);
	}
	return { ...report, rows: [...rows], maxRssMiB: process.resourceUsage().maxRSS / 1024 };
}

const known = new Map<number, readonly Seed[]>();

process.on("message", async (job: Job) => {
	const seeds = known.get(job.limit) ?? seedModels(job.limit);
	known.set(job.limit, seeds);
	process.send?.(await work(job, seeds));
});
