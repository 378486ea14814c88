import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { writeSafetensors } from "../../../test/support/safetensors.ts";
import { floatTensor, graphBuilder } from "../../onnx/builder.ts";
import { openAutoencoder } from "./autoencoder.ts";
import { autoencoderTinyEncoder, parseAutoencoderTiny } from "./autoencoder-tiny.ts";
import { readJson } from "./config.ts";
import { openUNet2DCondition } from "./denoiser.ts";
import { componentClasses } from "./pipeline-folder.ts";
import { readSafetensors } from "./safetensors.ts";
import { openTextEncoder } from "./text-encoder.ts";
import { parseUNet2D } from "./unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";
import { openWeights, weightsOf } from "./weights.ts";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-weights-"));
});
afterAll(() => rm(folder, { recursive: true }));

const save = (name: string, tensors: Record<string, number>) =>
	writeSafetensors(join(folder, name), Object.fromEntries(Object.entries(tensors).map(([key, size]) => [key, [size]])));

test("names every missing, wrong and left-over tensor at once", () => {
	const g = graphBuilder();
	const tensors = new Map([
		["a", floatTensor([1, 2], [2])],
		["b", floatTensor([1], [1])],
		["z", floatTensor([1], [1])],
	]);
	const weights = weightsOf(tensors, "here");
	weights.use(g, "a", [2]);
	weights.use(g, "b", [3]);
	weights.use(g, "c", [1]);
	weights.use(g, "d", [1]);
	expect(() => weights.finish()).toThrowError(/here: .*missing: c, d; wrong: b is float \[1\] and not float \[3\]; left over: z/);
});

test("a configuration that does not belong to the weights is told tensor by tensor", async () => {
	const json = await readJson(golden("diffusers/inpaint/unet/config.json"));
	const weights = await openWeights(golden("diffusers/inpaint/unet"), "diffusion_pytorch_model");
	const config = parseUNet2DCondition({ ...json, layers_per_block: 2, use_linear_projection: true }, "unet");
	unet2DCondition(config, weights, { batch: 1, height: 8, width: 8, tokens: 2 });
	const { message } = (() => {
		try {
			weights.finish();
		} catch (error) {
			return error as Error;
		}
		return new Error();
	})();
	expect(message).toMatch(/down_blocks\.0\.resnets\.1\.conv1\.weight/);
	expect(message).toMatch(/mid_block\.attentions\.0\.proj_in\.weight is float \[16, 16, 1, 1\] and not float \[16, 16\]/);
});

test("reads shards, the float16 variant and the names of older versions; leaves position ids out", async () => {
	await save("s-1.safetensors", { "mid.attentions.0.query.weight": 2, "text_model.embeddings.position_ids": 4 });
	await save("s-2.safetensors", { "mid.attentions.0.proj_attn.bias": 2, "text_model.final.weight": 1 });
	const [one, two] = ["s-1.safetensors", "s-2.safetensors"];
	const map = {
		"mid.attentions.0.query.weight": one,
		"text_model.embeddings.position_ids": one,
		"mid.attentions.0.proj_attn.bias": two,
		"text_model.final.weight": two,
	};
	await writeFile(join(folder, "s.safetensors.index.json"), JSON.stringify({ weight_map: map }));
	const sharded = await openWeights(folder, "s");
	expect(sharded.files).toHaveLength(2);
	const names = ["mid.attentions.0.to_q.weight", "mid.attentions.0.to_out.0.bias", "final.weight"];
	expect(names.map(sharded.has)).toEqual([true, true, true]);
	expect(sharded.has("embeddings.position_ids")).toBe(false);
	await save("v.fp16.safetensors", { a: 1 });
	expect((await openWeights(folder, "v")).has("a")).toBe(true);
	await expect(openWeights(folder, "nothing")).rejects.toMatchObject({ code: "model" });
});

describe("refuses configurations by name", () => {
	const condition = { in_channels: 9, block_out_channels: [8, 8], norm_num_groups: 4, attention_head_dim: 2 };
	const blocks = { down_block_types: ["DownBlock2D", "DownBlock2D"], up_block_types: ["UpBlock2D", "UpBlock2D"] };
	test.each([
		[{ act_fn: "mish" }, /act_fn.*mish/],
		[{ in_channels: 8 }, /in_channels = 8/],
		[{ resnet_time_scale_shift: "scale_shift" }, /resnet_time_scale_shift: "default".*scale_shift/],
		[{ class_embed_type: "timestep", dual_cross_attention: true }, /class_embed_type.*dual_cross_attention/],
		[{ down_block_types: ["DownBlock2D", "KDownBlock2D"] }, /down_block_types\.1.*KDownBlock2D/],
		[{ down_block_types: ["DownBlock2D"] }, /down_block_types with 2 entries/],
		[{ attention_head_dim: 3 }, /divisible by the 3 heads/],
		[{ norm_num_groups: 5 }, /divisible by norm_num_groups = 5/],
		[{ from_the_future: 1 }, /from_the_future = 1/],
	])("UNet2DConditionModel %j", (fields, message) => {
		expect(() => parseUNet2DCondition({ ...condition, ...blocks, ...fields }, "unet/config.json")).toThrowError(message);
	});
	test("UNet2DModel and AutoencoderTiny", () => {
		expect(() => parseUNet2D({ time_embedding_type: "fourier" }, "x")).toThrowError(/fourier/);
		expect(() => parseAutoencoderTiny({ act_fn: "gelu" }, "x")).toThrowError(/gelu/);
		expect(() => parseAutoencoderTiny({ num_encoder_blocks: [1] }, "x")).toThrowError(/num_encoder_blocks/);
	});
	test("a pipeline of other classes", async () => {
		const check = componentClasses(golden("diffusers/inpaint"), { unet: ["UNet2DModel"] });
		await expect(check).rejects.toThrowError(/unet: UNet2DModel.*UNet2DConditionModel/);
	});
});

describe("a checkpoint folder is refused", () => {
	const index = (map: unknown, name = "x") =>
		writeFile(join(folder, `${name}.safetensors.index.json`), JSON.stringify({ metadata: {}, weight_map: map }));
	const opened = (stem = "x") => openWeights(folder, stem);

	test("whose index names shards that are not there: all of them", async () => {
		await save("x-1.safetensors", { a: 1 });
		await index({ a: "x-1.safetensors", b: "x-2.safetensors", c: "x-3.safetensors" });
		await expect(opened()).rejects.toThrowError(/index\.json: expected the shards .*found none called x-2\.safetensors, x-3\.safetensors/);
	});
	test("whose index and shards disagree: every tensor of it", async () => {
		await save("x-1.safetensors", { a: 1, b: 1, d: 1 });
		await save("x-2.safetensors", { b: 1 });
		await index({ a: "x-2.safetensors", b: "x-1.safetensors", c: "x-1.safetensors" });
		const message =
			/a in x-1\.safetensors, not x-2\.safetensors; b in x-1\.safetensors and x-2\.safetensors, not .*; c in no shard, not x-1\.safetensors; d in x-1\.safetensors, not in the index/;
		await expect(opened()).rejects.toThrowError(message);
	});
	test.each([
		[undefined, /found none/],
		[{}, /found none/],
		[{ a: "../x-1.safetensors" }, /a: "\.\.\/x-1\.safetensors"/],
		[{ a: 1, b: "x-1.bin" }, /a: 1, b: "x-1\.bin"/],
	])("whose index is no map to files beside it: %j", async (map, message) => {
		await index(map, "y");
		await expect(opened("y")).rejects.toMatchObject({ code: "model", message: expect.stringMatching(message) });
	});
	test("whose index is no JSON", async () => {
		await writeFile(join(folder, "z.safetensors.index.json"), "{");
		await expect(opened("z")).rejects.toMatchObject({ code: "config" });
	});
	test.each(["diffusion_pytorch_model.bin", "pytorch_model.pt", "v1-5.ckpt"])("that has only a pickle: %s", async (pickle) => {
		const own = await mkdtemp(join(folder, "pickle-"));
		await writeFile(join(own, pickle), "import os");
		const error = { code: "model", message: expect.stringMatching(`only pickles: ${pickle}.*convert the model to safetensors`) };
		await expect(openWeights(own, "diffusion_pytorch_model")).rejects.toMatchObject(error);
	});
	test("that lacks a file or a component", async () => {
		await expect(openWeights(join(folder, "nowhere"), "model")).rejects.toMatchObject({ code: "model" });
		await expect(openUNet2DCondition(folder)).rejects.toThrowError(/config\.json.*no such file/);
		await expect(openAutoencoder(join(folder, "vae"))).rejects.toThrowError(/vae.config\.json.*no such file/);
		await expect(openTextEncoder(join(folder, "text_encoder"), folder)).rejects.toThrowError(/text_encoder.config\.json.*no such file/);
	});
	test("whose config names another class", async () => {
		for (const [name, open] of Object.entries({
			UNet2DConditionModel: openUNet2DCondition,
			"AutoencoderTiny or AutoencoderKL": openAutoencoder,
		})) {
			const own = await mkdtemp(join(folder, "class-"));
			await writeFile(join(own, "config.json"), JSON.stringify({ _class_name: "SD3Transformer2DModel" }));
			await expect(open(own)).rejects.toThrowError(new RegExp(`_class_name: ${name}, found "SD3Transformer2DModel"`));
		}
		const own = await mkdtemp(join(folder, "class-"));
		await writeFile(join(own, "config.json"), JSON.stringify({ model_type: "t5", d_model: 4096 }));
		await expect(openTextEncoder(own, own)).rejects.toThrowError(/"clip_text_model".*d_model = 4096/s);
	});
});

test("with a real checkpoint, shards are as good as one file", async () => {
	const own = await mkdtemp(join(folder, "shards-"));
	const source = golden("published_tiny/taesd-vae");
	await copyFile(join(source, "diffusion_pytorch_model.safetensors"), join(own, "s-1.safetensors"));
	const names = [...(await readSafetensors(join(own, "s-1.safetensors"))).keys()];
	const map = Object.fromEntries(names.map((name) => [name, "s-1.safetensors"]));
	await writeFile(join(own, "s.safetensors.index.json"), JSON.stringify({ weight_map: map }));
	const weights = await openWeights(own, "s");
	autoencoderTinyEncoder(parseAutoencoderTiny(await readJson(join(source, "config.json")), "vae"), weights, {
		batch: 1,
		height: 8,
		width: 8,
	});
	expect(() => weights.finish()).toThrowError(/left over: decoder\./);
});
