/** @file From a model file to a gradient file that shares its weights. */
import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type GradientGraph, type GradientGraphOptions, gradientGraph } from "../autodiff/gradient-graph.ts";
import { KintsugiError } from "../errors.ts";
import type { Graph } from "../onnx/graph.ts";
import { readModelFile, weightLocation, writeModelFile } from "./model-file.ts";
import { shapeRuntime } from "./shape-runtime.ts";

export type GradientStage = "read" | "shapes" | "gradient" | "write";

export interface GradientFileOptions extends Omit<GradientGraphOptions, "onStage"> {
	/** Path to write to; default: `<model>.grad.onnx` beside the model. */
	out?: string | undefined;
	/** Copy the weights in instead of pointing at them: any folder will do, up to 2 GiB. */
	inline?: boolean | undefined;
	onStage?: ((stage: GradientStage) => void) | undefined;
}

export interface GradientFile extends GradientGraph {
	path: string;
	/** Size of the file written. */
	bytes: number;
	/** Files that it points at, and how many of their bytes it uses. */
	weights: { file: string; bytes: number }[];
}

/** Nodes, names and weights of a protobuf message together; its lengths are signed 32-bit numbers. */
const LARGEST_MESSAGE = 2 ** 31 - 1;

/** Where the gradient of a model goes unless somebody says otherwise. */
export const gradientPath = (model: string): string => join(dirname(model), `${basename(model, ".onnx")}.grad.onnx`);

/**
 * Writes the gradient of a model (see `gradientGraph`) as a file that refers to byte ranges of the model's own files.
 * Weights never pass through memory. Throws `value` for a path that cannot be written to, and what reading and `gradientGraph` throw.
 */
export async function writeGradientFile(model: string, options: GradientFileOptions = {}): Promise<GradientFile> {
	const { out = gradientPath(model), inline = false, onStage } = options;
	onStage?.("read");
	const graph = readModelFile(model);
	checkPlace(out, graph, { model: resolve(model), inline });
	const gradient = await gradientGraph(graph, options, shapeRuntime);
	onStage?.("write");
	const weights = weightFiles(gradient.graph);
	if (inline) checkSize(out, weights);
	try {
		writeModelFile(gradient.graph, out, { inline });
	} catch (error) {
		if (error instanceof KintsugiError) throw error;
		throw place(out, "a file that can be written", error instanceof Error ? error.message : `${error}`, "choose another path", error);
	}
	return { ...gradient, path: out, bytes: statSync(out).size, weights: inline ? [] : weights };
}

const place = (where: string, expected: string, found: string, fix: string, cause?: unknown) =>
	new KintsugiError("value", { where, expected, found, fix }, { cause });

function weightFiles({ initializers }: Graph): { file: string; bytes: number }[] {
	const sizes = new Map<string, number>();
	for (const { bytes } of initializers.values()) {
		if ("file" in bytes) sizes.set(bytes.file, (sizes.get(bytes.file) ?? 0) + bytes.length);
	}
	return [...sizes].map(([file, bytes]) => ({ file, bytes }));
}

/** Found before the work is done, not after it. */
function checkPlace(out: string, graph: Graph, { model, inline }: { model: string; inline: boolean }): void {
	const folder = dirname(resolve(out));
	if (!existsSync(folder)) throw place(out, "a folder that exists", `no folder ${folder}`, "make it, or choose another path");
	const files = new Set([model, ...weightFiles(graph).map((w) => w.file)]);
	if (existsSync(out)) {
		const target = realpathSync(out);
		const own = [...files].find((file) => realpathSync(file) === target);
		if (own) throw place(out, "a new file", `the model's own ${basename(own)}`, "choose another path: the gradient points into that file");
	}
	if (inline) return;
	for (const file of files) {
		if (file === model && !weightFiles(graph).some((w) => w.file === model)) continue;
		try {
			weightLocation(folder, file);
		} catch (error) {
			const found = `weights in ${realpathSync(file)}`;
			throw place(
				out,
				"a path in the folder of the weights, or above it",
				found,
				"write it there, or copy the weights in (--inline)",
				error,
			);
		}
	}
}

function checkSize(out: string, weights: readonly { bytes: number }[]): void {
	const total = weights.reduce((sum, { bytes }) => sum + bytes, 0);
	if (total < LARGEST_MESSAGE - 2 ** 26) return;
	const found = `weights of ${(total / 2 ** 30).toFixed(2)} GiB`;
	throw place(out, "less than 2 GiB in one ONNX file", found, "leave the weights where they are: write beside the model without --inline");
}
