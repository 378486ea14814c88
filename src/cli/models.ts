/** @file `kintsugi models`: the models that come with the package, and how good they were measured to be. */
import { Command } from "commander";
import { type BundledModelState, bundledModels } from "../hub/bundled.ts";

const MANUAL = `
Wherever a model is asked for, its name, the path of a model folder or the path of an .onnx file will do:

  bundled name   one of the names below
  model folder   config.json, preprocessor_config.json and onnx/ as on the Hugging Face Hub, or a diffusers folder (model_index.json)
  .onnx file     any classifier or detector, with an adapter in the experiment file that says what its inputs and outputs mean

The bundled models are miniatures of the real architectures, trained on generated 64 x 64 scenes: they show that the pipeline works,
not what the real models reach. How each was trained and measured is told in its card, models/NAME/README.md.

Examples:
  $ kintsugi models
  $ kintsugi models --json`;

export interface ModelsCommandOptions {
	/** Folder that holds `models/`; default: this package. */
	root?: string;
	write?: (text: string) => void;
}

/** The command `models`. */
export function modelsCommand({ root, write = (text) => process.stdout.write(text) }: ModelsCommandOptions = {}): Command {
	return new Command("models")
		.description("list the bundled models: task, size, licence, measured quality")
		.option("--json", "print one JSON object instead of a table")
		.addHelpText("after", MANUAL)
		.action(async ({ json = false }: { json?: boolean }) => {
			const models = await bundledModels(root === undefined ? {} : { root });
			write(json ? `${JSON.stringify({ models })}\n` : `${table(models)}\n`);
		});
}

const HEADINGS = ["name", "task", "architecture", "parameters", "size", "licence", "measured quality"];

function table(models: readonly BundledModelState[]): string {
	const rows = [HEADINGS, ...models.map(cells)];
	const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
	return rows
		.map((row) =>
			row
				.map((cell, column) => cell.padEnd(widths[column]))
				.join("  ")
				.trimEnd(),
		)
		.join("\n");
}

function cells({ name, task, architecture, bytes, licence, quality }: BundledModelState): string[] {
	const measured = Object.entries(quality?.measured ?? {}).map(([measure, value]) => `${measure} ${Number(value.toPrecision(3))}`);
	const on = measured.length > 0 && quality?.on ? ` (${quality.on})` : "";
	return [
		name,
		task,
		architecture,
		quality?.parameters === undefined ? "-" : `${(quality.parameters / 1e6).toFixed(1)} M`,
		bytes === undefined ? "missing" : `${(bytes / 1e6).toFixed(1)} MB`,
		licence,
		measured.length > 0 ? measured.join(", ") + on : "not measured",
	];
}
