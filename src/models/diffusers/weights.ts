/** @file The weights of one checkpoint, handed to a graph by name, with every mismatch collected and told at once. */
import { KintsugiError } from "../../errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { ConstantTensor } from "../../onnx/graph.ts";
import { readCheckpoint } from "./checkpoint-files.ts";
import { floatConstant } from "./float-constant.ts";
import { type Lora, type LoraPart, mergeLoras } from "./lora.ts";

export interface Weights {
	/** Adds the tensor to the graph as float (other float types through a Cast, folded when the graph is opened) and returns its name. */
	use(g: GraphBuilder, name: string, dims: readonly number[]): string;
	/** Whether the checkpoint has a tensor of this name. */
	has(name: string): boolean;
	/** Throws `model`, naming every missing, wrongly shaped and left-over tensor. Call it after the last graph is built. */
	finish(): void;
	/** The checkpoint's own files, in order; those of LoRA are not among them. */
	readonly files: readonly string[];
	/** Removes what was made for them: call it when the last graph is closed. */
	readonly close?: () => Promise<void>;
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

export interface WeightsOptions {
	/** Merged into the weights. */
	lora?: readonly Lora[];
	/** What the network is called in LoRA files. */
	part?: LoraPart;
}

/** Opens the checkpoint `stem` (e.g. "diffusion_pytorch_model") in a folder; only headers are read. */
export async function openWeights(folder: string, stem: string, { lora = [], part = "unet" }: WeightsOptions = {}): Promise<Weights> {
	const { files, tensors: found } = await readCheckpoint(folder, stem);
	const tensors = new Map<string, ConstantTensor>();
	for (const [name, tensor] of found) {
		if (!NOT_LEARNED.test(name)) tensors.set(modernName(name), tensor);
	}
	if (lora.length === 0) return weightsOf(tensors, folder, files);
	const merged = await mergeLoras(tensors, lora, part, folder);
	return { ...weightsOf(merged.tensors, folder, files), close: merged.close };
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
			return floatConstant(g, found, name);
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
