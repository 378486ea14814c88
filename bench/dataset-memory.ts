/**
 * @file Peak memory of `kintsugi dataset build` and `verify` for 100 and for 1,000 scenes of 256 x 256 pixels:
 * npx tsx bench/dataset-memory.ts [COUNTS]. Each build is a process of its own.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { main as kintsugi } from "../src/cli/program.ts";
import { generateScenes } from "../src/datasets/scenes/generate.ts";

const SIZE = 256;
const ROOT = resolve(import.meta.dirname, "..");

/** Peak of the resident memory of a command of its own process, in megabytes, and its seconds. */
async function measured(args: readonly string[]): Promise<{ megabytes: number; seconds: number }> {
	const started = performance.now();
	const child = spawn(process.execPath, ["--import", "tsx", import.meta.filename, "--worker", ...args], {
		cwd: ROOT,
		stdio: ["ignore", "pipe", "inherit"],
	});
	let said = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		said += text;
	});
	const code = await new Promise((done) => child.on("close", done));
	if (code !== 0) throw new Error(`kintsugi ${args.join(" ")}: exit code ${code}\n${said}`);
	return { megabytes: Number(said.trim().split("\n").at(-1)), seconds: (performance.now() - started) / 1000 };
}

async function compare(counts: readonly number[]): Promise<void> {
	const folder = mkdtempSync(join(tmpdir(), "kintsugi-memory-"));
	try {
		const scenes = join(folder, "scenes");
		const coco = await generateScenes({ count: Math.max(...counts), seed: 11, out: scenes, size: SIZE });
		const file = join(folder, "memory.yaml");
		const experiment = {
			name: "memory",
			data: { coco, images: join(scenes, "val"), canvas: { size: SIZE } },
			classifier: { kind: "clip", model: "mini-clip" },
			attacks: [
				{ name: "fgsm", epsilon: "8/255" },
				{ name: "pgd", epsilon: "8/255", stepSize: "4/255", steps: 2 },
			],
		};
		writeFileSync(file, stringify(experiment));
		for (const count of counts) {
			const out = join(folder, `set-${count}`);
			const build = await measured(["dataset", "build", file, "-o", out, "--count", String(count), "--quiet"]);
			const verify = await measured(["dataset", "verify", out, "--quiet"]);
			for (const [name, { megabytes, seconds }] of Object.entries({ build, verify })) {
				process.stdout.write(
					`${count} images of ${SIZE} x ${SIZE}, 2 attacks: ${name} ${megabytes.toFixed(0)} MB, ${seconds.toFixed(0)} s\n`,
				);
			}
			rmSync(out, { recursive: true });
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const [first, ...rest] = process.argv.slice(2);
if (first === "--worker") {
	process.exitCode = await kintsugi(rest);
	process.stdout.write(`${process.resourceUsage().maxRSS / 1000}\n`);
} else {
	await compare(first === undefined ? [100, 1000] : [first, ...rest].map(Number));
}
