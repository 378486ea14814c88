/** @file `kintsugi models`: the models that come with the package, those that can be pulled, and what of them is there. */
import { Command } from "commander";
import { type BundledModelState, bundledModels } from "../hub/bundled.ts";
import { HUB_MODELS, type HubModel } from "../hub/catalogue.ts";
import { LOCK_FILE } from "../hub/lock-file.ts";
import { type PulledModel, pulledModel } from "../hub/pulled.ts";
import { type HubSettings, hubSettings } from "../hub/settings.ts";
import { inUnits, pullCommand, removedText, verifyCommand } from "./models-pull.ts";

const MANUAL = `
Wherever a model is asked for, one of these will do:

  name           one of the names below: bundled, or of the Hub after \`kintsugi models pull NAME\`
  ORG/NAME       any other model of the Hugging Face Hub, after \`kintsugi models pull ORG/NAME\`
  model folder   config.json, preprocessor_config.json and onnx/ as on the Hub, or a diffusers folder (model_index.json)
  .onnx file     any classifier or detector, with an adapter in the experiment file that says what its inputs and outputs mean

The bundled models are miniatures of the real architectures, trained on generated 64 x 64 scenes: they show that the pipeline works,
not what the real models reach. How each was trained and measured is told in its card, models/NAME/README.md.

Sizes and licences of Hub models in the list are approximate and as published; \`models pull\` shows the Hub's own before it fetches.
Repositories that their owners removed, and the mirrors in the list:
${removedText()}

Examples:
  $ kintsugi models
  $ kintsugi models pull yolos-small
  $ kintsugi models verify`;

export interface ModelsCommandOptions {
	/** Folder that holds `models/`; default: this package. */
	root?: string;
	/** Default: what the environment says. */
	settings?: HubSettings;
	lockFile?: string;
	write?: (text: string) => void;
}

/** The command `models`, with `list`, `pull` and `verify`. */
export function modelsCommand(options: ModelsCommandOptions = {}): Command {
	const { root, settings, lockFile = LOCK_FILE, write = (text) => process.stdout.write(text) } = options;
	const list = async ({ json = false }: { json?: boolean }) => {
		const models = await bundledModels(root === undefined ? {} : { root });
		const hub = await hubModels(settings ?? hubSettings(), lockFile);
		write(
			json
				? `${JSON.stringify({ models, hub })}\n`
				: `${table(HEADINGS, models.map(cells))}\n\n${table(HUB_HEADINGS, hub.map(hubCells))}\n`,
		);
	};
	const about = "list the bundled models and those of the Hub: task, size, licence, state";
	return new Command("models")
		.description("list, pull and verify models")
		.option("--json", "print one JSON object instead of a table")
		.addHelpText("after", MANUAL)
		.action(list)
		.addCommand(new Command("list").description(about).option("--json", "print one JSON object instead of a table").action(list))
		.addCommand(pullCommand())
		.addCommand(verifyCommand());
}

interface HubModelState extends HubModel {
	/** Undefined where it was not pulled. */
	readonly pulled?: Pick<PulledModel, "commit" | "dir" | "bytes"> & { readonly locked: boolean };
}

const hubModels = (settings: HubSettings, lockFile: string): Promise<HubModelState[]> =>
	Promise.all(
		HUB_MODELS.map(async (model) => {
			const found = await pulledModel(model.repository, { settings, lockFile });
			if (!found) return model;
			const { commit, dir, bytes, locked } = found;
			return { ...model, pulled: { commit, dir, bytes, locked: locked !== undefined } };
		}),
	);

const HUB_HEADINGS = ["name", "task", "repository", "size", "licence", "state"];

function hubCells({ name, task, repository, bytes, licence, pulled }: HubModelState): string[] {
	const state = pulled ? `pulled${pulled.locked ? "" : ", not locked"}` : "not pulled";
	return [name, task, repository, pulled ? inUnits(pulled.bytes) : `~${inUnits(bytes)}`, licence ?? "see its page", state];
}

const HEADINGS = ["name", "task", "architecture", "parameters", "size", "licence", "measured quality"];

function table(headings: readonly string[], body: readonly string[][]): string {
	const rows = [headings, ...body];
	const widths = headings.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
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
