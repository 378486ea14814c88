/** @file LoRA files: low-rank additions to the weights of a checkpoint (Hu et al. 2021, arXiv:2106.09685), by any of their three name styles. */
import { rmSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { type GraphBuilder, graphBuilder } from "../../onnx/builder.ts";
import type { ConstantTensor } from "../../onnx/graph.ts";
import { openSession } from "../../runtime/index.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { floatConstant } from "./float-constant.ts";
import { readMetadata, readSafetensors } from "./safetensors.ts";

/** A LoRA file and how much of it is added; 0 is nothing, 1 all of it. */
export interface Lora {
	file: string;
	scale?: number;
}

/** What a LoRA file adds to: files often hold layers for both. */
export type LoraPart = "unet" | "text_encoder";

/** W + scale * alpha / rank * up down, for one weight W. Names of the tensors are those of the file. */
export interface LoraLayer {
	names: string[];
	down?: ConstantTensor;
	up?: ConstantTensor;
	/** A tensor, or a number of the file's metadata; the rank where the file says nothing. */
	alpha?: ConstantTensor | number | undefined;
}

/** The additions of one file to one network, by the key of the module. */
interface LoraFile {
	file: string;
	scale: number;
	layers: ReadonlyMap<string, LoraLayer>;
}

/** Where the tensors of the styles differ: kohya's scripts, diffusers before 0.23, PEFT. */
const SUFFIXES: readonly (readonly [RegExp, "down" | "up" | "alpha"])[] = [
	[/(\.lora_down|\.lora_A|[._]lora\.down|\.lora_linear_layer\.down)\.weight$/, "down"],
	[/(\.lora_up|\.lora_B|[._]lora\.up|\.lora_linear_layer\.up)\.weight$/, "up"],
	[/(_lora)?\.alpha$/, "alpha"],
];

const PREFIXES: Readonly<Record<LoraPart, RegExp>> = {
	unet: /^(lora_unet_|unet\.)/,
	text_encoder: /^(lora_te1?_|text_encoder\.)(text_model[._])?/,
};

/** Kohya's scripts write "_" for every "."; so the key of a module has no dot, whatever the style. */
const keyOf = (module: string): string => module.replaceAll(".", "_");

/** The attention layers as diffusers' processors used to call them -> as the modules are called. */
function currentModule(module: string, part: LoraPart): string {
	const name = module.replace(/\.processor(?=\.|$)/, "").replace(/\.to_out$/, ".to_out.0");
	return part === "unet" ? name : name.replace(/\.to_([qkv])$/, ".$1_proj").replace(/\.to_out\.0$/, ".out_proj");
}

/** Which module of which network a tensor belongs to, and as what; undefined for what is no LoRA of these networks. */
function parseName(name: string): { part: LoraPart; key: string; role: "down" | "up" | "alpha" } | undefined {
	const suffix = SUFFIXES.find(([pattern]) => pattern.test(name));
	const part = (Object.keys(PREFIXES) as LoraPart[]).find((one) => PREFIXES[one].test(name));
	if (!suffix || !part) return undefined;
	const module = name.replace(PREFIXES[part], "").replace(suffix[0], "");
	return { part, key: keyOf(currentModule(module, part)), role: suffix[1] };
}

export interface MergedTensors {
	tensors: Map<string, ConstantTensor>;
	/** Removes the file of the merged weights; it goes at the end of the process, too. */
	close(): Promise<void>;
}

/**
 * The tensors of a checkpoint with what LoRA files add to them: each merged weight is computed once, in float32, and lies in a temporary
 * file from which every graph reads it. (As nodes of the graph, which ONNX Runtime folds, they would take several times the memory of the
 * model, and be computed again for every size.)
 * Throws `model`, naming all of them, for tensors that belong to no weight or do not fit, and for other kinds of adapters (LoHa, LoKr, DoRA,
 * networks with two text encoders); `value` for scales that are no numbers.
 */
export async function mergeLoras(
	tensors: ReadonlyMap<string, ConstantTensor>,
	loras: readonly Lora[],
	part: LoraPart,
	where: string,
): Promise<MergedTensors> {
	const additions = await matchLoras(tensors, loras, part, where);
	if (additions.size === 0) return { tensors: new Map(tensors), close: async () => {} };
	const folder = await mkdtemp(join(tmpdir(), "kintsugi-lora-"));
	const remove = () => rmSync(folder, { recursive: true, force: true });
	process.once("exit", remove);
	const close = async () => {
		process.off("exit", remove);
		await rm(folder, { recursive: true, force: true });
	};
	try {
		return { tensors: new Map([...tensors, ...(await writeMerged(tensors, additions, join(folder, "merged")))]), close };
	} catch (error) {
		await close();
		throw error;
	}
}

export interface Addition {
	layer: LoraLayer;
	scale: number;
}

/** What LoRA files add to each tensor of a checkpoint, by its name; reads headers only and throws as `mergeLoras` does. */
export async function matchLoras(
	tensors: ReadonlyMap<string, Pick<ConstantTensor, "dims">>,
	loras: readonly Lora[],
	part: LoraPart,
	where: string,
): Promise<Map<string, Addition[]>> {
	const files = await Promise.all(loras.map((lora) => openLora(lora, part)));
	const weights = new Map([...tensors.keys()].filter((name) => name.endsWith(".weight")).map((name) => [keyOf(name.slice(0, -7)), name]));
	const additions = new Map<string, Addition[]>();
	const faults = files.flatMap(({ file, scale, layers }) => {
		const unused: string[] = [];
		const wrong: string[] = [];
		for (const [key, layer] of layers) {
			const name = weights.get(key);
			const dims = tensors.get(name ?? "")?.dims;
			const misfit = dims && misfitOf(layer, dims);
			if (name === undefined || !dims) unused.push(...layer.names);
			else if (misfit) wrong.push(`${layer.names.join(", ")} for ${name} [${dims.join(", ")}]: ${misfit}`);
			else additions.set(name, [...(additions.get(name) ?? []), { layer, scale }]);
		}
		return [
			...(unused.length > 0 ? [`left over in ${file}: ${unused.sort().join(", ")}`] : []),
			...(wrong.length > 0 ? [`wrong in ${file}: ${wrong.join("; ")}`] : []),
		];
	});
	if (faults.length === 0) return additions;
	const expected = "LoRA tensors that belong to weights of this model";
	throw new KintsugiError("model", { where, expected, found: faults.join("; "), fix: "use LoRA files made for this kind of model" });
}

async function writeMerged(
	tensors: ReadonlyMap<string, ConstantTensor>,
	additions: ReadonlyMap<string, readonly Addition[]>,
	file: string,
): Promise<Map<string, ConstantTensor>> {
	const merged = new Map<string, ConstantTensor>();
	const handle = await open(file, "w");
	try {
		let offset = 0;
		for (const [name, parts] of additions) {
			const weight = tensors.get(name);
			if (!weight) continue;
			const { data } = await sum(weight, parts);
			const length = data.byteLength;
			await handle.writeFile(new Uint8Array(data.buffer, data.byteOffset, length));
			merged.set(name, { type: "float", dims: weight.dims, bytes: { file, offset, length } });
			offset += length;
		}
	} finally {
		await handle.close();
	}
	return merged;
}

/** One weight with its additions, computed by ONNX Runtime. */
async function sum(weight: ConstantTensor, parts: readonly Addition[]): Promise<Tensor> {
	const g = graphBuilder({ name: "LoRA" });
	const total = parts.reduce((value, part) => plus(g, value, weight.dims, part), floatConstant(g, weight));
	g.output(total, "float", weight.dims);
	// Nodes that are not folded use all threads.
	const session = await openSession(g.build(), { optimize: "disabled" });
	try {
		return (await session.run({}))[total] as Tensor;
	} finally {
		await session.close();
	}
}

async function openLora({ file, scale = 1 }: Lora, part: LoraPart): Promise<LoraFile> {
	if (!Number.isFinite(scale)) {
		throw new KintsugiError("value", { where: `scale of ${file}`, expected: "a number", found: `${scale}`, fix: "use 1, or leave it out" });
	}
	const alphaOf = peftAlpha(await readMetadata(file), part, file);
	const layers = new Map<string, LoraLayer>();
	const strange: string[] = [];
	const tensors = await readSafetensors(file);
	for (const [name, tensor] of tensors) {
		const parsed = parseName(name);
		if (!parsed) strange.push(name);
		if (parsed?.part !== part) continue;
		const layer = layers.get(parsed.key) ?? { names: [] };
		layer.names.push(name);
		layer[parsed.role] = tensor;
		layers.set(parsed.key, layer);
	}
	if (tensors.size === 0) throw refused(file, "no tensors");
	if (strange.length > 0) throw refused(file, `other tensors: ${strange.sort().join(", ")}`);
	for (const [key, layer] of layers) layer.alpha ??= alphaOf(key);
	return { file, scale, layers };
}

/** Both matrices must be there, with one rank, and span the weight; a convolution's kernel is part of the lower one. */
function misfitOf({ down, up, alpha }: LoraLayer, dims: readonly number[]): string | undefined {
	if (!down || !up) return `no ${down ? "up" : "down"} matrix`;
	if (typeof alpha === "object" && sizeOf(alpha.dims) !== 1) return `an alpha of ${sizeOf(alpha.dims)} numbers`;
	const rank = down.dims[0];
	const fits = sizeOf(up.dims) === dims[0] * rank && sizeOf(down.dims) * dims[0] === sizeOf(dims) * rank && rank > 0;
	return fits ? undefined : `down [${down.dims.join(", ")}], up [${up.dims.join(", ")}]`;
}

/** `value` + scale * alpha / rank * up down. */
function plus(g: GraphBuilder, value: string, dims: readonly number[], { layer, scale }: Addition): string {
	const { down, up, alpha } = layer as Required<LoraLayer>;
	const rank = down.dims[0];
	const matrix = (tensor: ConstantTensor, shape: readonly number[]) => g.op("Reshape", [floatConstant(g, tensor), g.ints(shape)]);
	const factor =
		typeof alpha === "object"
			? g.op("Mul", [g.op("Reshape", [floatConstant(g, alpha), g.ints([1])]), g.scalar(scale / rank)])
			: g.scalar((scale * (alpha ?? rank)) / rank);
	const scaled = g.op("Mul", [matrix(up, [dims[0], rank]), factor]);
	const product = g.op("MatMul", [scaled, matrix(down, [rank, sizeOf(dims) / dims[0]])]);
	return g.op("Add", [value, g.op("Reshape", [product, g.ints(dims)])]);
}

/** The alphas that newer versions of diffusers put into the file's metadata, as PEFT's LoraConfig calls them. */
function peftAlpha(metadata: Record<string, string>, part: LoraPart, file: string): (key: string) => number | undefined {
	const text = metadata.lora_adapter_metadata;
	if (text === undefined) return () => undefined;
	let config: Record<string, unknown>;
	try {
		config = JSON.parse(text) as Record<string, unknown>;
	} catch {
		throw refused(file, "lora_adapter_metadata that is no JSON");
	}
	const field = (name: string) => config[`${part}.${name}`];
	for (const variant of ["use_dora", "use_rslora", "lora_bias"]) {
		if (field(variant) === true) throw refused(file, `${variant} = true in its metadata`);
	}
	const alphas = Object.entries((field("alpha_pattern") ?? {}) as Record<string, number>).map(
		([module, alpha]) => [keyOf(module), alpha] as const,
	);
	const alpha = field("lora_alpha");
	return (key) =>
		alphas.find(([module]) => key === module || key.endsWith(`_${module}`))?.[1] ?? (typeof alpha === "number" ? alpha : undefined);
}

const refused = (file: string, found: string) =>
	new KintsugiError("model", {
		where: file,
		expected: "LoRA matrices for a unet or a text_encoder",
		found,
		fix: "use a LoRA of plain matrices that was made for this kind of model",
	});
