/** @file LoRA merged while reading, against `load_lora_weights` and `fuse_lora` of diffusers (test/golden/lora.py). */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { golden, maxDifference, readTensors } from "../../../test/golden/tensors.ts";
import { outputDifference } from "../../../test/support/diffusion-parity.ts";
import { LORAS, loraFile, readLora, SCALE, UNET, unetWith } from "../../../test/support/lora-parity.ts";
import { writeSafetensors } from "../../../test/support/safetensors.ts";
import { type Graph, graphBuilder } from "../../onnx/index.ts";
import { openSession, type Tensors } from "../../runtime/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { openUNet2DCondition } from "./denoiser.ts";
import type { Lora } from "./lora.ts";
import { openWeights, type Weights } from "./weights.ts";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-lora-"));
});
afterAll(() => rm(folder, { recursive: true }));

const opened: Weights[] = [];
afterEach(async () => {
	for (const weights of opened.splice(0)) await weights.close?.();
});

async function unet(lora: readonly Lora[]): Promise<Graph> {
	const { graph, weights } = await unetWith(lora);
	opened.push(weights);
	return graph;
}

const KOHYA = loraFile("lora-kohya");

async function run(graph: Graph, feeds: Tensors): Promise<Tensors[string]> {
	const session = await openSession(graph, { threads: 1 });
	const results = await session.run(feeds);
	await session.close();
	return Object.values(results)[0];
}

test.each(LORAS)("%s: outputs are those of the fused weights", async (name) => {
	const { parts, close } = await readLora(name);
	for (const part of parts) expect(await outputDifference(part), part.name).toBeLessThan(1e-4);
	const plain = { ...parts[0], graph: await unet([]) };
	expect(await outputDifference(plain)).toBeGreaterThan(0.05);
	await close();
});

test("several files add up; a scale of 0 adds nothing", async () => {
	const { parts, close } = await readLora("lora-kohya");
	await close();
	const [{ feeds, expected }] = parts[0].runs;
	const [file, other] = [KOHYA, loraFile("lora-peft")];
	const of = async (lora: readonly Lora[]) => run(await unet(lora), feeds);
	const halves = { file, scale: SCALE / 2 };
	expect(maxDifference(await of([halves, halves]), expected)).toBeLessThan(1e-4);
	const both = [
		{ file, scale: SCALE },
		{ file: other, scale: 0 },
	];
	expect(maxDifference(await of(both), expected)).toBeLessThan(1e-4);
});

test("the graph is that of the model alone: nothing is added to a step", async () => {
	const [plain, merged] = [await unet([]), await unet([{ file: KOHYA }])];
	const bare = (graph: Graph) => graph.nodes.filter(({ op }) => op !== "Cast").map(({ op }) => op);
	expect(bare(merged)).toEqual(bare(plain));
	// Merged weights are float32 already; the others of this checkpoint are float16.
	expect(merged.nodes.length).toBeLessThan(plain.nodes.length - 50);
});

test("merged weights lie in a file that goes with them", async () => {
	const weights = await openWeights(UNET, "diffusion_pytorch_model", { lora: [{ file: KOHYA }] });
	const g = graphBuilder();
	weights.use(g, "mid_block.resnets.0.conv1.weight", [8, 8, 3, 3]);
	const [{ bytes }] = [...g.build().initializers.values()];
	const file = "file" in bytes ? bytes.file : "";
	expect((await stat(file)).size).toBeGreaterThan(8 * 8 * 9 * 4);
	expect(weights.files).not.toContain(file);
	await weights.close?.();
	await expect(stat(file)).rejects.toThrow();
});

test("the denoiser takes LoRA files", async () => {
	const { sample, encoder_hidden_states, output_37 } = await readTensors(golden("lora/kohya.golden.safetensors"));
	const denoiser = await openUNet2DCondition(UNET, { lora: [{ file: KOHYA, scale: SCALE }], threads: 1 });
	const output = await denoiser.predict(sample as Tensor, 37, encoder_hidden_states as Tensor);
	await denoiser.close();
	expect(maxDifference(output, output_37)).toBeLessThan(1e-4);
});

describe("refuses, by name", () => {
	const Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
	const save = async (name: string, dims: Record<string, readonly number[]>) => {
		const file = join(folder, `${name}.safetensors`);
		await writeSafetensors(file, dims);
		return [{ file }];
	};
	test("every tensor that belongs to no weight, of every file", async () => {
		const one = await save("one", {
			"lora_unet_nowhere.lora_down.weight": [1, 4],
			"lora_unet_nowhere.lora_up.weight": [4, 1],
			"unet.else.where.lora_A.weight": [1, 4],
		});
		const two = await save("two", { "lora_unet_third_place.alpha": [1] });
		const opened = unet([...one, ...two]);
		await expect(opened).rejects.toThrowError(/one\.safetensors: lora_unet_nowhere\.lora_down.*nowhere\.lora_up.*unet\.else\.where/);
		await expect(opened).rejects.toThrowError(/left over in .*two\.safetensors: lora_unet_third_place\.alpha/);
	});
	test("matrices that do not fit or lack their other half", async () => {
		const wide = await save("wide", { [`${Q}.lora_down.weight`]: [2, 9], [`${Q}.lora_up.weight`]: [8, 2] });
		await expect(unet(wide)).rejects.toThrowError(/attn1_to_q\.lora_up\.weight for mid_block.*\[8, 8\]: down \[2, 9\], up \[8, 2\]/);
		const half = await save("half", { [`${Q}.lora_down.weight`]: [2, 8] });
		await expect(unet(half)).rejects.toThrowError(/attn1_to_q\.lora_down\.weight for .*: no up matrix/);
	});
	test("other kinds of adapters, all their tensors at once", async () => {
		const loha = await save("loha", { [`${Q}.hada_w1_a`]: [2], [`${Q}.hada_w1_b`]: [2], [`${Q}.alpha`]: [1] });
		await expect(unet(loha)).rejects.toMatchObject({ code: "model", message: expect.stringMatching(/hada_w1_a, .*hada_w1_b/) });
		const sdxl = await save("sdxl", { "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": [1] });
		await expect(unet(sdxl)).rejects.toThrowError(/lora_te2_text_model/);
	});
	test("a scale that is no number, and a file that is not there", async () => {
		await expect(unet([{ file: KOHYA, scale: Number.NaN }])).rejects.toMatchObject({ code: "value" });
		await expect(unet([{ file: join(folder, "none.safetensors") }])).rejects.toMatchObject({ code: "model" });
	});
});
