/** @file LoRA files over tiny checkpoints (test/golden/lora): how far outputs are from those of the weights that the library fused. */
import { join } from "node:path";
import { clipTextModel, parseClipText } from "../../src/models/diffusers/clip-text-model.ts";
import { readJson } from "../../src/models/diffusers/config.ts";
import type { Lora } from "../../src/models/diffusers/lora.ts";
import { parseUNet2DCondition, unet2DCondition } from "../../src/models/diffusers/unet-2d-condition.ts";
import { openWeights, type Weights } from "../../src/models/diffusers/weights.ts";
import type { Graph } from "../../src/onnx/index.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { golden, readTensors } from "../golden/tensors.ts";
import type { Checkpoint } from "./diffusion-parity.ts";

export const UNET = golden("published_tiny/sd1.5-unet");
const TEXT = golden("published_tiny/sd1.5-text_encoder");

/** Styles of names, and how much of the LoRA was merged. */
export const LORAS: readonly string[] = ["lora-kohya", "lora-mixed", "lora-peft", "lora-processors"];
export const SCALE = 0.7;

export const loraFile = (name: string): string => golden(`lora/${name.slice("lora-".length)}.safetensors`);

export interface Merged {
	graph: Graph;
	weights: Weights;
}

export async function unetWith(lora: readonly Lora[]): Promise<Merged> {
	const weights = await openWeights(UNET, "diffusion_pytorch_model", { lora });
	const config = parseUNet2DCondition(await readJson(join(UNET, "config.json")), "unet");
	const graph = unet2DCondition(config, weights, { batch: 2, height: 8, width: 8, tokens: 5 });
	weights.finish();
	return { graph, weights };
}

async function textWith(lora: readonly Lora[]): Promise<Merged> {
	const weights = await openWeights(TEXT, "model", { lora, part: "text_encoder" });
	const graph = clipTextModel(parseClipText(await readJson(join(TEXT, "config.json")), "text"), weights, { batch: 2, tokens: 9 });
	weights.finish();
	return { graph, weights };
}

/** The UNet and the text encoder with a LoRA merged, as parts of one checkpoint. */
export async function readLora(name: string): Promise<Checkpoint & { close(): Promise<void> }> {
	const lora = [{ file: loraFile(name), scale: SCALE }];
	const [unet, text] = [await unetWith(lora), await textWith(lora)];
	const io = await readTensors(loraFile(name).replace(".safetensors", ".golden.safetensors"));
	const { sample, encoder_hidden_states, input_ids } = io;
	const feeds = { sample, timestep: tensor(Float32Array.of(37), [1]), encoder_hidden_states };
	return {
		name,
		className: "LoRA",
		parts: [
			{ name: "UNet2DConditionModel", graph: unet.graph, output: "out_sample", runs: [{ feeds, expected: io.output_37 }] },
			{
				name: "CLIPTextModel",
				graph: text.graph,
				output: "last_hidden_state",
				runs: [{ feeds: { input_ids }, expected: io.last_hidden_state }],
			},
		],
		async close() {
			await unet.weights.close?.();
			await text.weights.close?.();
		},
	};
}
