/** @file `kintsugi grad`: the gradient of an ONNX model, as an ONNX file. */
import { basename } from "node:path";
import { Command, Option } from "commander";
import type { Loss } from "../autodiff/losses.ts";
import { type ErrorCode, KintsugiError } from "../errors.ts";
import type { ValueInfo } from "../onnx/graph.ts";
import { withDims } from "../onnx/resolve-dims.ts";
import { duration } from "../reports/format.ts";
import { textTable } from "../reports/tables.ts";
import {
	checkGradient,
	type GradientCheck,
	type GradientFile,
	type GradientStage,
	readModelFile,
	writeGradientFile,
} from "../runtime/index.ts";
import { collected, dimValues, numberRange, positiveNumber, shapeOf, wholeNumber, withGlobals } from "./options.ts";
import { type Globals, INCOMPLETE, lateProgress, printResult } from "./terminal.ts";

const LOSSES: readonly Loss[] = ["cross-entropy", "set-cross-entropy", "bce", "margin", "set-margin", "ranking"];

const MANUAL = `
Writes an ordinary ONNX file that computes the gradient beside the outputs. It runs wherever the model runs, in
Python as in Node. The weights are not copied: the file refers to byte ranges of the model's own files, so keep it in their folder,
and make it again when the model changes. --inline copies the weights in.

Without --loss, a vector-Jacobian product:
  inputs   those of the model, and cotangent/OF for every output OF: the weights of its elements
  outputs  every OF, and grad/WRT for every input WRT
With --loss, the gradient of a loss of the logits OF [N, K]:
  inputs   those of the model, and targets [N, K]: one-hot, multi-hot or soft
  outputs  loss [N], logits [N, K], and gradient, with the dims of WRT

Gradients are made for fixed dims. A symbolic first dim that is not given is 1; others must be given.

--check runs the file in ONNX Runtime at random inputs, and compares, along directions of +1 and -1, the gradient with the
difference of the outputs at the two ends of a segment: the mean slope between them must be the difference over the distance. Steps
from 1/16 to 1/8192 of the range are tried until one is accurate. "expected" is the error that a correct gradient would show there,
from rounding in float32 and from kinks (ReLU, MaxPool) within the segment. A direction agrees if its error is below eight times
that, or below 1e-3; it is unclear if that would let more than a tenth pass, or if the outputs jump (TopK) even at the shortest step.

Exit codes: 0 written, and the check (if any) agrees; 1 failed, or the check does not agree; 2 wrong use.

Examples:
  $ kintsugi grad model.onnx --check
  $ kintsugi grad model.onnx --of logits --wrt pixel_values --loss cross-entropy -o grad.onnx
  $ kintsugi grad clip.onnx --of image_embeds --shape pixel_values=8x3x224x224
  $ kintsugi grad yolox_nano.onnx --check --range 0,255`;

interface GradFlags extends Globals {
	of?: string[];
	wrt?: string[];
	loss?: Loss;
	dims?: Record<string, number>;
	shape?: Record<string, readonly number[]>;
	output?: string;
	inline?: boolean;
	check?: boolean;
	range: readonly [number, number];
	directions: number;
	seed: number;
	threads: number;
}

/** The command `grad`. */
export function gradCommand(): Command {
	return withGlobals(
		new Command("grad")
			.description("write the gradient of an ONNX model as an ONNX file, and check it")
			.argument("<model>", "model file (.onnx)")
			.option("--of <output>", "what is differentiated; repeatable (default: the only float output)", collected)
			.option("--wrt <input>", "with respect to what; repeatable (default: the only float input)", collected)
			.addOption(new Option("--loss <name>", "gradient of this loss of the logits --of").choices(LOSSES))
			.option("--dims <name=n,...>", "numbers for symbolic dims, e.g. batch=8,height=224", dimValues)
			.option("--shape <input=dims>", "dims of an input, e.g. pixel_values=8x3x224x224; repeatable", shapeOf)
			.option("-o, --output <file>", "file to write (default: MODEL.grad.onnx beside the model)")
			.option("--inline", "copy the weights into the file, up to 2 GiB")
			.option("--check", "compare the gradient with numerical directional derivatives")
			.option("--range <low,high>", "range of the random inputs of --check", numberRange, [0, 1])
			.option("--directions <n>", "directions of --check for each input", positiveNumber, 4)
			.option("--seed <n>", "seed of --check", wholeNumber, 0)
			.option("--threads <n>", "threads of one operator, for --check", positiveNumber, 2),
	)
		.addHelpText("after", MANUAL)
		.action(grad);
}

const STAGES: Record<GradientStage, string> = {
	read: "reading the model",
	shapes: "computing shapes",
	gradient: "differentiating",
	write: "writing",
};

async function grad(model: string, flags: GradFlags): Promise<void> {
	const { of, wrt, loss, dims, shape, output, inline, check } = flags;
	const started = performance.now();
	const progress = lateProgress(flags);
	const onStage = (stage: GradientStage) =>
		progress.update({ stage: STAGES[stage], done: Object.keys(STAGES).indexOf(stage), total: 4, secondsLeft: undefined });
	try {
		const options = { of, wrt, loss, dims: { ...dims, ...shape }, out: output, inline, onStage };
		const written = await writeGradientFile(model, options).catch(asUsage("value", "shape"));
		const seconds = (performance.now() - started) / 1000;
		const checked = check ? await checkFile(model, written, flags, progress.update).catch(asUsage("value")) : undefined;
		progress.stop();
		const text = [summary(model, written, seconds), ...(checked ? [checkText(checked, flags)] : [])].join("\n\n");
		printResult(flags, text, result(written, flags, seconds, checked));
		if (checked && checked.verdict !== "agrees") throw INCOMPLETE;
	} finally {
		progress.stop();
	}
}

/** What the library calls a wrong argument is, here, a wrong use of the command. */
const asUsage =
	(...codes: ErrorCode[]) =>
	(error: unknown): never => {
		const isUsage = error instanceof KintsugiError && codes.includes(error.code);
		throw isUsage ? new KintsugiError("usage", error.parts, { cause: error }) : error;
	};

/** Checks the file as it was written. */
function checkFile(
	model: string,
	{ path, of, wrt }: GradientFile,
	{ loss, range, directions, seed, threads }: GradFlags,
	update: ReturnType<typeof lateProgress>["update"],
): Promise<GradientCheck> {
	const started = performance.now();
	const onProgress = (done: number, total: number) => {
		const seconds = (performance.now() - started) / 1000;
		update({ stage: "checking", done, total, secondsLeft: done > 0 ? (seconds / done) * (total - done) : undefined });
	};
	const options = { of, wrt, loss: loss !== undefined, model: readModelFile(model), range, directions, seed, threads, onProgress };
	return checkGradient(readModelFile(path), options);
}

const typed = (v: ValueInfo): string => `${withDims(v)} ${v.type}`;

function summary(model: string, { graph, path, bytes, weights, nodes, assumed }: GradientFile, seconds: number): string {
	const used = weights.map((w) => `${basename(w.file)} (${size(w.bytes)})`).join(", ");
	const lines = [
		["nodes", `${nodes.forward} forward, ${nodes.backward} added`],
		["weights", used || "in the file"],
		...graph.inputs.map((v, i) => [i === 0 ? "inputs" : "", typed(v)]),
		...graph.outputs.map((v, i) => [i === 0 ? "outputs" : "", typed(v)]),
		...Object.keys(assumed).map((name) => ["note", `${name} is 1; choose another with --dims or --shape`]),
		["time", duration(seconds)],
	];
	return [
		`${path}: ${size(bytes)}, the gradient of ${basename(model)}`,
		...lines.map(([key, value]) => `  ${key.padEnd(8)} ${value}`),
	].join("\n");
}

/** 312 -> "312 B", 45_600 -> "45.6 kB" */
function size(bytes: number): string {
	const units = ["B", "kB", "MB", "GB"];
	const unit = Math.min(3, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
	return `${unit === 0 ? bytes : (bytes / 1000 ** unit).toPrecision(3)} ${units[unit]}`;
}

const VERDICTS = {
	agrees: "The gradient agrees with the differences.",
	disagrees:
		"The gradient DISAGREES with the differences: a wrong rule, or outputs that jump (Round, ArgMax, TopK); please report a wrong rule.",
	unclear: "UNCLEAR: differences in float32 are too coarse here; try another --range or --seed.",
};

function checkText({ directions, filled, outputs, verdict }: GradientCheck, { range, seed }: GradFlags): string {
	const table = {
		title: `Check at random inputs in [${range.join(", ")}], seed ${seed}`,
		columns: ["with respect to", "direction", "step", "gradient", "difference", "error", "expected", ""],
		rows: directions.map((d) => [
			d.wrt,
			d.direction,
			d.step.toExponential(1),
			d.analytic.toExponential(5),
			d.numeric.toExponential(5),
			d.error.toExponential(1),
			d.uncertainty.toExponential(1),
			d.verdict,
		]),
	};
	const notes = Object.entries(filled).map(([name, value]) => `${name} was filled with ${value}.`);
	return [textTable(table), "", ...notes, ...(outputs === undefined ? [] : [sameOutputs(outputs)]), VERDICTS[verdict]].join("\n");
}

const sameOutputs = (difference: number): string =>
	difference === 0
		? "The outputs equal the model's own."
		: `The outputs differ from the model's own by ${difference.toExponential(1)} of the largest.`;

function result(
	{ graph, path, bytes, weights, of, wrt, assumed, nodes }: GradientFile,
	{ loss, range, seed }: GradFlags,
	seconds: number,
	checked: GradientCheck | undefined,
): object {
	const { inputs, outputs } = graph;
	const check = checked && { ...checked, range, seed };
	return { file: path, bytes, weights, of, wrt, loss, nodes, inputs, outputs, assumed, seconds: Number(seconds.toFixed(2)), check };
}
