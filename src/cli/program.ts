/** @file The command line `kintsugi`: commands, errors, exit codes. */
import { Command, CommanderError } from "commander";
import { KintsugiError } from "../errors.ts";
import { attackCommand } from "./attack.ts";
import { calibrateCommand } from "./calibrate.ts";
import { datasetCommand } from "./dataset.ts";
import { demoCommand } from "./demo.ts";
import { gradCommand } from "./grad.ts";
import { modelsCommand } from "./models.ts";
import { purifyCommand } from "./purify.ts";
import { runCommand } from "./run.ts";
import { scenesCommand } from "./scenes.ts";
import { INCOMPLETE, version } from "./terminal.ts";
import { transferCommand } from "./transfer.ts";

const MANUAL = `
Kintsugi attacks vision-language classifiers, repairs the attacked images only where objects stand, and measures what that is
worth. Begin with \`kintsugi demo\`; \`kintsugi help COMMAND\` tells all about a command.

Results go to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed or stopped, 2 wrong use.`;

const DONE = 0;
const FAILED = 1;
const WRONG_USE = 2;

/** All commands under one name. */
export function program(): Command {
	const root = new Command("kintsugi")
		.description("attack, purify, measure: adversarial robustness of vision-language classifiers")
		.version(version())
		.option("--json", "print one JSON object instead of text")
		.option("--quiet", "no progress and no notes")
		.addHelpText("after", MANUAL)
		// `kintsugi --json run` means the same as `kintsugi run --json`.
		.hook("preAction", (parent, command) => {
			for (const [key, value] of Object.entries(parent.opts())) command.setOptionValue(key, value);
		});
	const commands = [
		demoCommand(),
		runCommand(),
		attackCommand(),
		purifyCommand(),
		datasetCommand(),
		calibrateCommand(),
		transferCommand(),
		gradCommand(),
		modelsCommand(),
		scenesCommand(),
	];
	for (const command of commands) root.addCommand(command);
	for (const command of [root, ...root.commands, ...root.commands.flatMap((group) => group.commands)]) {
		command.exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });
	}
	return root;
}

/** Runs one command line; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
	const root = program();
	try {
		await root.parseAsync(args, { from: "user" });
		return DONE;
	} catch (error) {
		if (error instanceof CommanderError && error.exitCode === 0) return DONE;
		if (error === INCOMPLETE) return FAILED;
		const json = args.includes("--json");
		const { message, code } = describe(error, root);
		if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
		else process.stderr.write(code === "stopped" || message.includes("\n") ? `${message}\n` : `kintsugi: ${message}\n`);
		return code === "usage" || code === "config" ? WRONG_USE : FAILED;
	}
}

/** One line about an error, and its code; without a stack trace unless KINTSUGI_DEBUG is set. */
function describe(error: unknown, root: Command): { code: string; message: string } {
	if (error instanceof CommanderError) {
		const text = error.message.startsWith("(output") ? root.helpInformation() : oneLine(error.message);
		return {
			code: "usage",
			message: error.code === "commander.help" ? text : `${text.replace(/^error: /, "")}; see kintsugi --help`,
		};
	}
	if (error instanceof KintsugiError) return { code: error.code, message: oneLine(error.message) };
	if (error instanceof Error && error.name === "AbortError")
		return { code: "stopped", message: "stopped; run the same command to continue" };
	const { message = String(error), stack } = error instanceof Error ? error : {};
	const trace = process.env.KINTSUGI_DEBUG ? `\n${stack}` : " (KINTSUGI_DEBUG=1 shows where)";
	return { code: "internal", message: `unexpected: ${oneLine(message)}${trace}` };
}

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, " ");
