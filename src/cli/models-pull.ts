/** @file `kintsugi models pull` and `kintsugi models verify`: models from the Hub, and whether they are still what they were. */
import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { KintsugiError } from "../errors.ts";
import { REMOVED } from "../hub/catalogue.ts";
import { LOCK_FILE } from "../hub/lock-file.ts";
import { type PullPlan, planPull } from "../hub/plan.ts";
import { pull } from "../hub/pull.ts";
import { verifyModels } from "../hub/verify.ts";
import { duration } from "../reports/format.ts";
import { withGlobals } from "./options.ts";
import { type Globals, INCOMPLETE, note, printResult, progressPrinter, untilInterrupted } from "./terminal.ts";

const ENVIRONMENT = `
Environment, as for Python's huggingface_hub:
  HF_TOKEN                 token for private and gated models; sent to the endpoint only (also read: the file of \`hf auth login\`)
  HF_ENDPOINT              another Hub or a mirror
  HF_HUB_CACHE, HF_HOME    where the cache is (default ~/.cache/huggingface/hub)
  HF_HUB_OFFLINE=1         ask nothing of the network`;

const PULL_MANUAL = `
Shows files, sizes and licence, asks, then fetches into the cache that Python's huggingface_hub uses, too: what either has fetched
the other finds. An interrupted download continues where it ended when the same command is given again. Every file is checked
against the hash that the Hub names and recorded in the lock file with its sha256; later pulls fetch the locked commit.

Fetched are configuration, tokenizer, licence and one set of weights: .safetensors or .onnx. Pickles (.bin, .pt, .ckpt) never are:
opening one runs whatever program is inside.
${ENVIRONMENT}

Examples:
  $ kintsugi models pull clip-vit-base-patch32
  $ kintsugi models pull sd2-inpainting --fp16 --dry-run
  $ kintsugi models pull google/ddpm-cifar10-32 --yes`;

const VERIFY_MANUAL = `
Hashes every file of the lock file in the cache, without the network. Exit codes: 0 all as locked, 1 some are missing or differ.`;

interface PullFlags extends Globals {
	revision?: string;
	fp16?: boolean;
	yes?: boolean;
	dryRun?: boolean;
	lockFile: string;
}

const withLockFile = (command: Command): Command => withGlobals(command.option("--lock-file <file>", "the lock file", LOCK_FILE));

/** The command `models pull`. */
export function pullCommand(): Command {
	return withLockFile(
		new Command("pull")
			.description("fetch a model of the Hugging Face Hub into the cache")
			.argument("<name>", "a name that `kintsugi models` lists, or ORG/NAME")
			.option("--revision <name>", "branch, tag or commit (default: the locked commit, else main)")
			.option("--fp16", "weights in float16, where the repository has them: half the size")
			.option("--yes", "fetch without asking")
			.option("--dry-run", "show what would be fetched, and end"),
	)
		.addHelpText("after", PULL_MANUAL)
		.action(pullModel);
}

async function pullModel(name: string, flags: PullFlags): Promise<void> {
	const { revision, fp16: float16, lockFile } = flags;
	const onRetry = (reason: string, pause: number) => note(flags, `${reason}; trying again in ${duration(pause / 1000)}`);
	const options = { lockFile, onRetry };
	const plan = await untilInterrupted((signal) => planPull(name, { ...options, signal, revision, float16 }));
	const { missing, ...shown } = plan;
	if (flags.dryRun) return printResult(flags, planText(plan), { ...shown, missing, pulled: false });
	note(flags, planText(plan));
	if (missing > 0 && !flags.yes) await confirm(plan);
	const progress = progressPrinter(flags);
	const started = performance.now();
	let first: number | undefined;
	const locked = await untilInterrupted((signal) =>
		pull(plan, {
			...options,
			signal,
			onWait: (holder) => note(flags, `waiting for ${holder}, which pulls the same model`),
			onProgress({ file, done, total }) {
				first ??= done;
				const rate = (done - first) / (performance.now() - started);
				progress.update({ stage: file, done, total, secondsLeft: rate > 0 ? (total - done) / rate / 1000 : undefined });
			},
		}).finally(progress.stop),
	);
	printResult(flags, `${plan.repository} at ${plan.commit.slice(0, 12)}: ${plan.dir}\nLock file: ${lockFile}`, {
		...shown,
		files: Object.entries(locked.files).map(([path, file]) => ({ path, ...file })),
		lockFile,
		pulled: true,
	});
}

function planText({ repository, revision, commit, licence, gated, note: remark, files, bytes, missing, dir }: PullPlan): string {
	const width = Math.max(...files.map(({ path }) => path.length));
	return [
		`${repository} at ${revision === commit ? "" : `${revision}, `}commit ${commit}`,
		`licence: ${licence ?? "not stated by the repository"}${gated ? "; gated: it must be accepted on the model's page" : ""}`,
		...(remark ? [`note: ${remark}`] : []),
		...files.map(({ path, size, present }) => `  ${path.padEnd(width)}  ${inUnits(size).padStart(8)}${present ? "  there" : ""}`),
		`${inUnits(bytes)} in all, ${inUnits(missing)} to fetch, into ${dir}`,
	].join("\n");
}

/** 1234567 -> "1.2 MB" */
export function inUnits(bytes: number): string {
	if (bytes < 1000) return `${bytes} B`;
	const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
	return `${(bytes / 1000 ** power).toFixed(1)} ${["B", "kB", "MB", "GB"][power]}`;
}

async function confirm({ missing }: PullPlan): Promise<void> {
	if (!process.stdin.isTTY) {
		const parts = {
			where: "models pull",
			expected: "--yes where nobody can be asked",
			found: "no terminal",
			fix: "add --yes, or --dry-run to look only",
		};
		throw new KintsugiError("usage", parts);
	}
	const dialogue = createInterface({ input: process.stdin, output: process.stderr });
	const answer = await dialogue.question(`Fetch ${inUnits(missing)} under this licence? [y/N] `).finally(() => dialogue.close());
	if (/^y(es)?$/i.test(answer.trim())) return;
	throw new KintsugiError("usage", { where: "models pull", expected: "yes", found: "no", fix: "nothing was fetched" });
}

/** The command `models verify`. */
export function verifyCommand(): Command {
	return withLockFile(new Command("verify").description("check the pulled models against the lock file"))
		.addHelpText("after", VERIFY_MANUAL)
		.action(async (flags: Globals & { lockFile: string }) => {
			const files = await verifyModels({ lockFile: flags.lockFile });
			const wrong = files.filter(({ state }) => state !== "right");
			const models = new Set(files.map(({ repository }) => repository));
			const lines = wrong.map(({ repository, path, state }) => `${state}: ${repository}/${path}`);
			const summary = `${files.length - wrong.length} of ${files.length} files of ${models.size} models are as ${flags.lockFile} says`;
			printResult(flags, [...lines, summary].join("\n"), { files, lockFile: flags.lockFile });
			if (wrong.length === 0) return;
			note(flags, `run \`kintsugi models pull ${wrong[0].repository}\` to fetch what is missing or damaged`);
			throw INCOMPLETE;
		});
}

/** Names of repositories that are gone, with the mirrors to use: for the manual. */
export const removedText = (): string =>
	Object.entries(REMOVED)
		.map(([repository, mirror]) => `  ${repository} -> ${mirror}`)
		.join("\n");
