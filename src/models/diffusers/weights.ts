/** @file The weights of one checkpoint, handed to a graph by name, with every mismatch collected and told at once. */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { ConstantTensor } from "../../onnx/graph.ts";
import { readSafetensors } from "./safetensors.ts";

export interface Weights {
	/** Adds the tensor to the graph as float (other float types through a Cast, folded when the graph is opened) and returns its name. */
	use(g: GraphBuilder, name: string, dims: readonly number[]): string;
	/** Whether the checkpoint has a tensor of this name. */
	has(name: string): boolean;
	/** Throws `model`, naming every missing, wrongly shaped and left-over tensor. Call it after the last graph is built. */
	finish(): void;
	/** The files, in order. */
	readonly files: readonly string[];
}

const exists = (path: string) =>
	access(path).then(
		() => true,
		() => false,
	);

/** The files of a checkpoint: one file, its shards as told by an index, or the float16 variant. */
async function checkpointFiles(folder: string, stem: string): Promise<string[]> {
	for (const variant of [`${stem}.safetensors`, `${stem}.fp16.safetensors`]) {
		if (await exists(join(folder, variant))) return [join(folder, variant)];
	}
	const index = join(folder, `${stem}.safetensors.index.json`);
	if (await exists(index)) {
		const { weight_map: map } = JSON.parse(await readFile(index, "utf8")) as { weight_map: Record<string, string> };
		return [...new Set(Object.values(map))].sort().map((file) => join(folder, file));
	}
	throw new KintsugiError("model", {
		where: folder,
		expected: `${stem}.safetensors`,
		found: "no such file",
		fix: "save the model in the safetensors format",
	});
}

/** Names that older versions of diffusers gave the attention of UNet2DModel and AutoencoderKL. */
const OLD_NAMES: readonly (readonly [RegExp, string])[] = [
	[/\.query\./, ".to_q."],
	[/\.key\./, ".to_k."],
	[/\.value\./, ".to_v."],
	[/\.proj_attn\./, ".to_out.0."],
	[/^text_model\./, ""],
];

/** Tensors that some versions save although they are not learned. */
const NOT_LEARNED = /(^|\.)position_ids$/;

const modernName = (name: string) => OLD_NAMES.reduce((n, [old, now]) => n.replace(old, now), name);

/** Opens the checkpoint `stem` (e.g. "diffusion_pytorch_model") in a folder; only headers are read. */
export async function openWeights(folder: string, stem: string): Promise<Weights> {
	const files = await checkpointFiles(folder, stem);
	const tensors = new Map<string, ConstantTensor>();
	for (const file of files) {
		for (const [name, tensor] of await readSafetensors(file)) {
			if (!NOT_LEARNED.test(name)) tensors.set(modernName(name), tensor);
		}
	}
	return weightsOf(tensors, folder, files);
}

/** Weights from tensors at hand; `where` names the checkpoint in errors. */
export function weightsOf(tensors: ReadonlyMap<string, ConstantTensor>, where: string, files: readonly string[] = []): Weights {
	const used = new Set<string>();
	const missing = new Set<string>();
	const wrong = new Map<string, string>();
	return {
		files,
		has: (name) => tensors.has(name),
		use(g, name, dims) {
			const found = tensors.get(name);
			used.add(name);
			if (!found) {
				missing.add(name);
				return name;
			}
			const isFloat = ["float", "float16", "bfloat16", "double"].includes(found.type);
			if (!isFloat || found.dims.join() !== dims.join()) {
				wrong.set(name, `${name} is ${found.type} [${found.dims.join(", ")}] and not float [${dims.join(", ")}]`);
			}
			const constant = g.constant(found, name);
			return found.type === "float" ? constant : g.op("Cast", [constant], { to: ONNX_FLOAT }, { name: `${name}.float` });
		},
		finish() {
			const leftOver = [...tensors.keys()].filter((name) => !used.has(name)).sort();
			const faults = [
				...(missing.size > 0 ? [`missing: ${[...missing].join(", ")}`] : []),
				...(wrong.size > 0 ? [`wrong: ${[...wrong.values()].join(", ")}`] : []),
				...(leftOver.length > 0 ? [`left over: ${leftOver.join(", ")}`] : []),
			];
			if (faults.length === 0) return;
			throw new KintsugiError("model", {
				where,
				expected: "the tensors that config.json describes",
				found: faults.join("; "),
				fix: "use the config.json that was saved with these weights",
			});
		},
	};
}

/** TensorProto.FLOAT, the target of a Cast. */
const ONNX_FLOAT = 1;
