/** @file What the benchmarks beside Python share: processes that take turns, medians, tables. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";

export interface Worker {
	ask<T>(line?: string): Promise<T>;
	close(): void;
}

/** A process that answers every line with a line of JSON; `ask()` without a line waits for the first one. */
export function worker(command: string, args: readonly string[]): Worker {
	const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
	const failed = new Promise<never>((_, reject) => {
		child.once("error", reject);
		child.once("exit", (code, signal) => reject(new Error(`${command} ${args.join(" ")} ended with ${signal ?? code}`)));
	});
	failed.catch(() => {});
	if (!child.stdout || !child.stdin) throw new Error("no pipes");
	const { stdin } = child;
	const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	return {
		async ask<T>(line?: string) {
			if (line !== undefined) stdin.write(`${line}\n`);
			const { value } = await Promise.race([lines.next(), failed]);
			return JSON.parse(value) as T;
		},
		close: () => stdin.end(),
	};
}

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

export const tableRow = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;

/** Cores and date, without which a time means nothing. */
export const machine = (): string => `${cpus().length} x ${cpus()[0].model.trim()}, ${new Date().toISOString().slice(0, 10)}`;

/** Ends the program with a message if this Python cannot import the modules. */
export function needPython(script: string, python: string, modules: readonly string[]): void {
	if (spawnSync(python, ["-c", `import ${modules.join(", ")}`], { encoding: "utf8" }).status === 0) return;
	process.stderr.write(`${script} needs Python with ${modules.join(", ")}, and '${python}' has not all of them.\n`);
	process.stderr.write("Install them (pip install -r test/golden/requirements.txt) and name the interpreter with --python PATH.\n");
	process.exit(2);
}

/** How far the float32 numbers in file `a` are from those in `b`: the largest difference, as a part of the largest entry of `b`, and the cosine. */
export function agreement(a: string, b: string): { relative: number; cosine: number } {
	const [x, y] = [a, b].map((file) => new Float32Array(new Uint8Array(readFileSync(file)).buffer));
	let [dot, xx, yy, largest, difference] = [0, 0, 0, 0, 0];
	for (let i = 0; i < y.length; i++) {
		dot += x[i] * y[i];
		xx += x[i] ** 2;
		yy += y[i] ** 2;
		largest = Math.max(largest, Math.abs(y[i]));
		difference = Math.max(difference, Math.abs(x[i] - y[i]));
	}
	return { relative: difference / largest, cosine: dot / Math.sqrt(xx * yy) };
}
