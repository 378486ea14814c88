/** @file `kintsugi demo`: the paper's experiment on what comes with the package. */
import { join } from "node:path";
import { Command } from "commander";
import { packageRoot } from "../hub/package-root.ts";
import { positiveNumber, wholeNumber, withGlobals } from "./options.ts";
import { RUN_FILES, type RunFlags, runFile } from "./run.ts";

const MANUAL = `
Takes bundled scenes, attacks the bundled mini-clip (FGSM at four epsilons, PGD, targeted PGD), finds objects in the attacked
images with mini-yolos, repaints them one by one with mini-inpaint (and, for comparison, the whole image without a mask), and
measures what each step costs and gives back. No network, no GPU; under two minutes on two cores.

What it shows is a miniature: small models on drawn scenes of 64 x 64 pixels.
${RUN_FILES}

Examples:
  $ kintsugi demo
  $ kintsugi demo --count 100 --out runs/demo-100`;

/** The command `demo`. */
export function demoCommand(): Command {
	return withGlobals(
		new Command("demo")
			.description("attack, purify and measure the bundled scenes, and write a report")
			.option("--out <dir>", "folder of the run", join("runs", "demo"))
			.option("--count <n>", "number of scenes, of 200 (default: as in experiments/demo.yaml)", positiveNumber)
			.option("--seed <n>", "seed of scenes, attacks and purifiers", wholeNumber, 0)
			.option("--threads <n>", "threads of one operator; another number may change the last bits of results", positiveNumber, 2),
	)
		.addHelpText("after", MANUAL)
		.action(async (flags: RunFlags) => runFile(join(packageRoot(), "experiments", "demo.yaml"), flags));
}
