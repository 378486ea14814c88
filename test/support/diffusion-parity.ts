/** @file Tiny checkpoints in the shapes of the published ones (test/golden/published_tiny): how far outputs and gradients are from the library's. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { cotangentName, gradientName, vjp } from "../../src/autodiff/index.ts";
import { autoencoderKLDecoder, autoencoderKLEncoder, parseAutoencoderKL } from "../../src/models/diffusers/autoencoder-kl.ts";
import {
	type AutoencoderDims,
	autoencoderTinyDecoder,
	autoencoderTinyEncoder,
	parseAutoencoderTiny,
} from "../../src/models/diffusers/autoencoder-tiny.ts";
import { clipTextModel, parseClipText } from "../../src/models/diffusers/clip-text-model.ts";
import { readJson } from "../../src/models/diffusers/config.ts";
import { parseUNet2D, unet2D } from "../../src/models/diffusers/unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "../../src/models/diffusers/unet-2d-condition.ts";
import { openWeights, type Weights } from "../../src/models/diffusers/weights.ts";
import { freeze, type Graph } from "../../src/onnx/index.ts";
import { openSession, shapeRuntime, type Tensors } from "../../src/runtime/index.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { golden, maxDifference, readTensors } from "../golden/tensors.ts";

/** One graph of a network, what it is fed, and what the library computed. */
export interface Part {
	/** Such as "encoder", where a network has several graphs. */
	name: string;
	graph: Graph;
	output: string;
	runs: { feeds: Tensors; expected: Tensors[string] }[];
	/** What torch.autograd says; left out for networks that nobody differentiates. */
	gradient?: { wrt: string; feeds: Tensors; cotangent: Tensors[string]; expected: Tensors[string] };
}

export interface Checkpoint {
	name: string;
	/** The library's class. */
	className: string;
	parts: Part[];
}

const timestep = (t: number) => tensor(Float32Array.of(t), [1]);

type Json = Record<string, unknown>;

function unetParts(json: Json, weights: Weights, io: Tensors): Part[] {
	const { sample, encoder_hidden_states: states, timestep_cond: guidance } = io;
	const [batch, , height, width] = sample.dims;
	const graph = states
		? unet2DCondition(parseUNet2DCondition(json, "unet"), weights, { batch, height, width, tokens: states.dims[1] })
		: unet2D(parseUNet2D(json, "unet"), weights, { batch, height, width });
	const others: Tensors = { ...(states ? { encoder_hidden_states: states } : {}), ...(guidance ? { timestep_cond: guidance } : {}) };
	const at = (t: number): Tensors => ({ sample, timestep: timestep(t), ...others });
	return [
		{
			name: "",
			graph,
			output: "out_sample",
			runs: [0, 37, 999].map((t) => ({ feeds: at(t), expected: io[`output_${t}`] })),
			gradient: { wrt: "sample", feeds: at(37), cotangent: io.cotangent, expected: io.gradient },
		},
	];
}

/** Both graphs of an autoencoder, whichever class its configuration names. */
export function autoencoderGraphs(json: Json, weights: Weights, dims: AutoencoderDims): { encoder: Graph; decoder: Graph } {
	if (json._class_name === "AutoencoderTiny") {
		const config = parseAutoencoderTiny(json, "vae");
		return { encoder: autoencoderTinyEncoder(config, weights, dims), decoder: autoencoderTinyDecoder(config, weights, dims) };
	}
	const config = parseAutoencoderKL(json, "vae");
	return { encoder: autoencoderKLEncoder(config, weights, dims), decoder: autoencoderKLDecoder(config, weights, dims) };
}

function autoencoderParts(json: Json, weights: Weights, io: Tensors): Part[] {
	const [batch, , height, width] = io.image.dims;
	const { encoder, decoder } = autoencoderGraphs(json, weights, { batch, height, width });
	const part = (name: string, graph: Graph, wrt: string, input: Tensors[string], output: string, expected: Tensors[string]): Part => {
		const feeds = { [wrt]: input };
		const gradient = { wrt, feeds, cotangent: io[`${name}_cotangent`], expected: io[`${name}_gradient`] };
		return { name, graph, output, runs: [{ feeds, expected }], gradient };
	};
	return [
		part("encoder", encoder, "sample", io.image, "latents", io.encoded),
		part("decoder", decoder, "latents", io.latents, "sample", io.decoded),
	];
}

function textParts(json: Json, weights: Weights, io: Tensors): Part[] {
	const [batch, tokens] = io.input_ids.dims;
	const config = parseClipText(json, "text_encoder");
	const feeds = { input_ids: io.input_ids };
	const part = (name: string, clipSkip: number, expected: Tensors[string]): Part => {
		const graph = clipTextModel(config, weights, { batch, tokens, clipSkip });
		return { name, graph, output: "last_hidden_state", runs: [{ feeds, expected }] };
	};
	return [part("", 0, io.last_hidden_state), part("one layer left out", 1, io.clip_skip_1)];
}

/** Names of the folders. */
export const tinyNames = (): string[] => readdirSync(golden("published_tiny")).sort();

/** Opens a checkpoint; throws if a tensor is missing or left over. */
export async function readTiny(name: string): Promise<Checkpoint> {
	const folder = golden(`published_tiny/${name}`);
	const json = await readJson(join(folder, "config.json"));
	const className = String(json._class_name ?? "CLIPTextModel");
	const weights = await openWeights(folder, className === "CLIPTextModel" ? "model" : "diffusion_pytorch_model");
	const io = await readTensors(join(folder, "golden.safetensors"));
	const make = className.startsWith("UNet") ? unetParts : className === "CLIPTextModel" ? textParts : autoencoderParts;
	const parts = make(json, weights, io);
	weights.finish();
	return { name, className, parts };
}

/** The largest difference of any output of any run. */
export async function outputDifference({ graph, output, runs }: Part): Promise<number> {
	const session = await openSession(graph, { threads: 1 });
	const differences: number[] = [];
	for (const { feeds, expected } of runs) differences.push(maxDifference((await session.run(feeds))[output], expected));
	await session.close();
	return Math.max(...differences);
}

/** The graph of a part with its gradient, as `vjp` makes it. */
export async function gradientGraph({ graph, output, gradient }: Part): Promise<Graph> {
	return vjp(await freeze(graph, {}, shapeRuntime), { of: [output], wrt: [gradient?.wrt ?? ""] });
}

/** The largest difference of the gradient to torch.autograd's, over its largest entry. */
export async function gradientDifference(part: Part): Promise<number> {
	const { gradient, output } = part;
	if (!gradient) return Number.NaN;
	const session = await openSession(await gradientGraph(part), { threads: 1 });
	const results = await session.run({ ...gradient.feeds, [cotangentName(output)]: gradient.cotangent });
	await session.close();
	const largest = Math.max(...Array.from(gradient.expected.data as Float32Array, Math.abs));
	return maxDifference(results[gradientName(gradient.wrt)], gradient.expected) / largest;
}
