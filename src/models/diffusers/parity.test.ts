/** @file Every architecture against diffusers itself, on tiny random checkpoints (test/golden/make_diffusers.py). */
import { join } from "node:path";
import { expect, test } from "vitest";
import { golden, maxDifference, readTensors } from "../../../test/golden/tensors.ts";
import type { Graph } from "../../onnx/graph.ts";
import { openSession, type Tensors } from "../../runtime/session.ts";
import { tensor } from "../../tensor/tensor.ts";
import { autoencoderKLDecoder, autoencoderKLEncoder, parseAutoencoderKL } from "./autoencoder-kl.ts";
import { autoencoderTinyDecoder, autoencoderTinyEncoder, parseAutoencoderTiny } from "./autoencoder-tiny.ts";
import { clipTextModel, parseClipText } from "./clip-text-model.ts";
import { readJson } from "./config.ts";
import { parseUNet2D, unet2D } from "./unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";
import { openWeights } from "./weights.ts";

const TOLERANCE = 1e-4;

async function checkpoint(name: string, stem = "diffusion_pytorch_model") {
	const folder = golden(`diffusers/${name}`);
	const [json, weights, io] = await Promise.all([
		readJson(join(folder, "config.json")),
		openWeights(folder, stem),
		readTensors(join(folder, "golden.safetensors")),
	]);
	return { json, weights, io };
}

async function run(graph: Graph, feeds: Tensors): Promise<Tensors> {
	const session = await openSession(graph, { threads: 1 });
	const results = await session.run(feeds);
	await session.close();
	return results;
}

test("AutoencoderTiny", async () => {
	const { json, weights, io } = await checkpoint("inpaint/vae");
	const config = parseAutoencoderTiny(json, "vae");
	const dims = { batch: 2, height: 16, width: 16 };
	const encoder = autoencoderTinyEncoder(config, weights, dims);
	const decoder = autoencoderTinyDecoder(config, weights, dims);
	weights.finish();
	expect(maxDifference((await run(encoder, { sample: io.image })).latents, io.encoded)).toBeLessThan(TOLERANCE);
	expect(maxDifference((await run(decoder, { latents: io.latents })).sample, io.decoded)).toBeLessThan(TOLERANCE);
});

test("AutoencoderKL", async () => {
	const { json, weights, io } = await checkpoint("autoencoder-kl");
	const config = parseAutoencoderKL(json, "vae");
	const dims = { batch: 2, height: 16, width: 16 };
	const encoder = autoencoderKLEncoder(config, weights, dims);
	const decoder = autoencoderKLDecoder(config, weights, dims);
	weights.finish();
	expect(maxDifference((await run(encoder, { sample: io.image })).latents, io.encoded)).toBeLessThan(TOLERANCE);
	expect(maxDifference((await run(decoder, { latents: io.latents })).sample, io.decoded)).toBeLessThan(TOLERANCE);
});

/** The largest difference at each of the timesteps that the golden file has. */
async function differences(graph: Graph, feeds: Tensors, io: Tensors): Promise<Record<string, number>> {
	const session = await openSession(graph, { threads: 1 });
	const found: Record<string, number> = {};
	for (const name of Object.keys(io).filter((key) => key.startsWith("output_"))) {
		const t = Number(name.slice("output_".length));
		const { out_sample } = await session.run({ ...feeds, timestep: tensor(Float32Array.of(t), [1]) });
		found[name] = maxDifference(out_sample, io[name]);
	}
	await session.close();
	expect(Object.keys(found)).toHaveLength(3);
	return found;
}

test.each([
	["inpaint/unet", 2],
	["inpaint/unet", "batch"],
	["unet-sd2", 2],
])("UNet2DConditionModel %s, batch %s", async (name, batch) => {
	const { json, weights, io } = await checkpoint(name);
	const { sample, encoder_hidden_states } = io;
	const [, , height, width] = sample.dims;
	const graph = unet2DCondition(parseUNet2DCondition(json, name), weights, { batch, height, width, tokens: 5 });
	weights.finish();
	for (const difference of Object.values(await differences(graph, { sample, encoder_hidden_states }, io))) {
		expect(difference).toBeLessThan(TOLERANCE);
	}
});

test.each(["unet-ddpm", "unet-ddpm-heads"])("UNet2DModel %s", async (name) => {
	const { json, weights, io } = await checkpoint(name);
	const graph = unet2D(parseUNet2D(json, name), weights, { batch: 2, height: 8, width: 8 });
	weights.finish();
	for (const difference of Object.values(await differences(graph, { sample: io.sample }, io))) {
		expect(difference).toBeLessThan(TOLERANCE);
	}
});

test.each(["inpaint/text_encoder", "text-encoder-gelu"])("CLIPTextModel %s", async (name) => {
	const { json, weights, io } = await checkpoint(name, "model");
	const graph = clipTextModel(parseClipText(json, name), weights, { batch: 3, tokens: 12 });
	weights.finish();
	expect(maxDifference((await run(graph, { input_ids: io.input_ids })).last_hidden_state, io.last_hidden_state)).toBeLessThan(TOLERANCE);
});
