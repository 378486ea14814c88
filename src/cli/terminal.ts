/** @file What all commands share: results on stdout, everything else on stderr, progress, Ctrl-C. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import type { Progress } from "../experiments/progress.ts";
import { packageRoot } from "../hub/package-root.ts";
import { duration } from "../reports/format.ts";

export interface Globals {
	/** Print one JSON object instead of text. */
	json?: boolean;
	/** No progress and no notes. */
	quiet?: boolean;
}

/** Thrown by commands that did what could be done and have said what could not: exit code 1 without another message. */
export const INCOMPLETE = new Error("some images could not be used");

/** Prints a result: text for people, or the object as one line of JSON. */
export function printResult({ json }: Globals, text: string, object: unknown): void {
	process.stdout.write(json ? `${JSON.stringify(object)}\n` : `${text}\n`);
}

/** Prints a note that is no result. */
export function note({ quiet }: Globals, text: string): void {
	if (!quiet) process.stderr.write(`${text}\n`);
}

export interface ProgressPrinter {
	update(progress: Progress): void;
	stop(): void;
}

/** Seconds between lines where there is no terminal to draw a bar on. */
const LINE_EVERY = 5;

const left = (seconds: number | undefined): string => (seconds === undefined ? "" : `, about ${duration(seconds)} left`);

/** A bar on a terminal, a line every few seconds elsewhere, nothing with --quiet. */
export function progressPrinter({ quiet }: Globals): ProgressPrinter {
	if (quiet) return { update: () => {}, stop: () => {} };
	return process.stderr.isTTY ? barPrinter() : linePrinter();
}

/** As `progressPrinter`, for work that is mostly done before anybody asks: nothing before two seconds have passed. */
export function lateProgress(flags: Globals): ProgressPrinter {
	const printer = progressPrinter(flags);
	const started = performance.now();
	return {
		update(progress) {
			if (performance.now() - started > 2000) printer.update(progress);
		},
		stop: printer.stop,
	};
}

function barPrinter(): ProgressPrinter {
	const bar = new SingleBar({
		format: "{bar} {percentage} % {stage}{left}",
		barsize: 30,
		barCompleteChar: "\u2588",
		barIncompleteChar: "\u2591",
		hideCursor: true,
		clearOnComplete: true,
		stream: process.stderr,
	});
	let started = false;
	return {
		update({ stage, done, total, secondsLeft }) {
			const payload = { stage, left: left(secondsLeft) };
			if (!started) bar.start(total, done, payload);
			started = true;
			bar.update(done, payload);
		},
		stop: () => bar.stop(),
	};
}

function linePrinter(): ProgressPrinter {
	let next = performance.now() + 1000 * LINE_EVERY;
	return {
		update({ stage, done, total, secondsLeft }) {
			if (performance.now() < next) return;
			next = performance.now() + 1000 * LINE_EVERY;
			process.stderr.write(`${Math.floor((100 * done) / total)} %: ${stage}${left(secondsLeft)}\n`);
		},
		stop: () => {},
	};
}

/** Aborts on the first Ctrl-C; the second one ends the process at once. */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
	const control = new AbortController();
	const stop = () => {
		if (control.signal.aborted) process.exit(1);
		process.stderr.write("\nstopping after the current step; press Ctrl-C again to end at once\n");
		control.abort();
	};
	process.on("SIGINT", stop);
	process.on("SIGTERM", stop);
	try {
		return await work(control.signal);
	} finally {
		process.off("SIGINT", stop);
		process.off("SIGTERM", stop);
	}
}

/** Version of this package. */
export function version(): string {
	const text = readFileSync(join(packageRoot(), "package.json"), "utf8");
	return (JSON.parse(text) as { version: string }).version;
}
