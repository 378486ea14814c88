/** @file LoRA files: low-rank additions to the weights of a checkpoint (Hu et al. 2021, arXiv:2106.09685), by any of their three name styles. */
import { KintsugiError } from "../../errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { ConstantTensor } from "../../onnx/graph.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { readMetadata, readSafetensors } from "./safetensors.ts";

/** A LoRA file and how much of it is added; 0 is nothing, 1 all of it. */
export interface Lora {
	file: string;
	scale?: number;
}

/** What a LoRA file adds to: files often hold layers for both. */
export type LoraPart = "unet" | "text_encoder";

/** W + scale * alpha / rank * up down, for one weight W. Names of the tensors are those of the file. */
interface LoraLayer {
	names: string[];
	down?: ConstantTensor;
	up?: ConstantTensor;
	/** A tensor, or a number of the file's metadata; the rank where the file says nothing. */
	alpha?: ConstantTensor | number | undefined;
}

/** The additions of one file to one network. */
export interface LoraLayers {
	readonly file: string;
	/** Adds what the file has for this weight to `value`; gives `value` back where it has nothing. `dims` are those of the weight. */
	merge(g: GraphBuilder, weight: string, value: string, dims: readonly number[]): string;
	/** Tensors that no weight asked for or that do not fit: complete once all graphs are built. */
	faults(): string[];
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

/**
 * Reads the headers of LoRA files and keeps what they add to one network. Throws `model` for files with tensors of other kinds (LoHa,
 * LoKr, DoRA, networks with two text encoders), all of them named, and `value` for scales that are no numbers.
 */
export async function openLoras(loras: readonly Lora[], part: LoraPart): Promise<LoraLayers[]> {
	return Promise.all(loras.map((lora) => openLora(lora, part)));
}

async function openLora({ file, scale = 1 }: Lora, part: LoraPart): Promise<LoraLayers> {
	if (!Number.isFinite(scale)) {
		throw new KintsugiError("value", { where: `scale of ${file}`, expected: "a number", found: `${scale}`, fix: "use 1, or leave it out" });
	}
	const alphaOf = peftAlpha(await readMetadata(file), part, file);
	const layers = new Map<string, LoraLayer>();
	const strange: string[] = [];
	for (const [name, tensor] of await readSafetensors(file)) {
		const parsed = parseName(name);
		if (!parsed) strange.push(name);
		if (parsed?.part !== part) continue;
		const layer = layers.get(parsed.key) ?? { names: [] };
		layer.names.push(name);
		layer[parsed.role] = tensor;
		layers.set(parsed.key, layer);
	}
	if (strange.length > 0) throw refused(file, `other tensors: ${strange.sort().join(", ")}`);
	for (const [key, layer] of layers) layer.alpha ??= alphaOf(key);
	return layersOf(file, scale, layers);
}

function layersOf(file: string, scale: number, layers: ReadonlyMap<string, LoraLayer>): LoraLayers {
	const used = new Set<string>();
	const wrong = new Map<string, string>();
	return {
		file,
		merge(g, weight, value, dims) {
			const key = weight.endsWith(".weight") ? keyOf(weight.slice(0, -".weight".length)) : "";
			const layer = layers.get(key);
			if (!layer) return value;
			used.add(key);
			const misfit = misfitOf(layer, dims);
			if (misfit === undefined) return addition(g, { layer, weight, value, dims, scale });
			wrong.set(key, `${layer.names.join(", ")} for ${weight} [${dims.join(", ")}]: ${misfit}`);
			return value;
		},
		faults() {
			const unused = [...layers].filter(([key]) => !used.has(key)).flatMap(([, { names }]) => names);
			return [
				...(unused.length > 0 ? [`left over in ${file}: ${unused.sort().join(", ")}`] : []),
				...(wrong.size > 0 ? [`wrong in ${file}: ${[...wrong.values()].join("; ")}`] : []),
			];
		},
	};
}

/** Both matrices must be there, with one rank, and span the weight; a convolution's kernel is part of the lower one. */
function misfitOf({ down, up, alpha }: LoraLayer, dims: readonly number[]): string | undefined {
	if (!down || !up) return `no ${down ? "up" : "down"} matrix`;
	if (typeof alpha === "object" && sizeOf(alpha.dims) !== 1) return `an alpha of ${sizeOf(alpha.dims)} numbers`;
	const rank = down.dims[0];
	const fits = sizeOf(up.dims) === dims[0] * rank && sizeOf(down.dims) * dims[0] === sizeOf(dims) * rank && rank > 0;
	return fits ? undefined : `down [${down.dims.join(", ")}], up [${up.dims.join(", ")}]`;
}

/** TensorProto.FLOAT, the target of a Cast. */
const FLOAT = 1;

interface Addition {
	layer: LoraLayer;
	weight: string;
	value: string;
	dims: readonly number[];
	scale: number;
}

/** Nodes over constants only, which are folded when the graph is opened: the sum takes the weight's place. */
function addition(g: GraphBuilder, { layer, weight, value, dims, scale }: Addition): string {
	const { down, up, alpha } = layer as Required<LoraLayer>;
	const rank = down.dims[0];
	const use = (tensor: ConstantTensor) => {
		const constant = g.constant(tensor);
		return tensor.type === "float" ? constant : g.op("Cast", [constant], { to: FLOAT });
	};
	const matrix = (tensor: ConstantTensor, shape: readonly number[]) => g.op("Reshape", [use(tensor), g.ints(shape)]);
	const product = g.op("MatMul", [matrix(up, [dims[0], rank]), matrix(down, [rank, sizeOf(dims) / dims[0]])]);
	const known = typeof alpha === "object" ? undefined : (alpha ?? rank);
	const factor =
		known === undefined
			? g.op("Mul", [g.op("Reshape", [use(alpha as ConstantTensor), g.ints([1])]), g.scalar(scale / rank)])
			: g.scalar((scale * known) / rank);
	const delta = g.op("Reshape", [g.op("Mul", [product, factor]), g.ints(dims)]);
	return g.op("Add", [value, delta], {}, { name: `${weight}.merged` });
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
