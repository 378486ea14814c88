import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { floatTensor, graphBuilder } from "../../onnx/builder.ts";
import { parseAutoencoderTiny } from "./autoencoder-tiny.ts";
import { readJson } from "./config.ts";
import { componentClasses } from "./pipeline-folder.ts";
import { parseUNet2D } from "./unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";
import { openWeights, weightsOf } from "./weights.ts";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-weights-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function save(name: string, tensors: Record<string, number>): Promise<void> {
	let at = 0;
	const header: Record<string, unknown> = {};
	for (const [key, size] of Object.entries(tensors)) {
		header[key] = { dtype: "F32", shape: [size], data_offsets: [at, at + 4 * size] };
		at += 4 * size;
	}
	const text = Buffer.from(JSON.stringify(header));
	const prefix = Buffer.alloc(8);
	prefix.writeBigUInt64LE(BigInt(text.length));
	await writeFile(join(folder, name), Buffer.concat([prefix, text, Buffer.alloc(at)]));
}

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
	const map = { a: "s-2.safetensors", b: "s-1.safetensors" };
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
