/** @file LoRA files and left-out text layers as options of pipelines and purifiers. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { golden, maxDifference } from "../../../test/golden/tensors.ts";
import { writeSafetensors } from "../../../test/support/safetensors.ts";
import { random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { openPurifier } from "../registry.ts";
import { type InpaintPipelineOptions, openInpaintPipeline } from "./inpaint.ts";

const FOLDER = golden("diffusers/inpaint");
const KEY = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v";

let folder: string;
let file: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-pipeline-lora-"));
	file = join(folder, "pytorch_lora_weights.safetensors");
	const text = "lora_te_text_model_encoder_layers_0_mlp_fc1";
	await writeSafetensors(
		file,
		{
			[`${KEY}.lora_down.weight`]: [2, 16],
			[`${KEY}.lora_up.weight`]: [16, 2],
			[`${text}.lora_down.weight`]: [1, 12],
			[`${text}.lora_up.weight`]: [20, 1],
		},
		(i) => Math.sin(i),
	);
});
afterAll(() => rm(folder, { recursive: true }));

async function painted(options: InpaintPipelineOptions) {
	const pipeline = await openInpaintPipeline(FOLDER, { threads: 1, ...options });
	const job = { mask: tensor(new Float32Array(256).fill(1), [1, 16, 16]), prompt: "a dog", random: random("lora test") };
	const image = tensor(random("image").uniforms(3 * 256), [3, 16, 16]);
	const [output] = await pipeline.inpaint([{ ...job, image }], { steps: 2, guidance: 3 });
	await pipeline.close();
	return { output, hash: pipeline.hash };
}

test("a LoRA changes the image and the hash; with scale 0 only the hash", async () => {
	const [plain, none, whole] = [await painted({}), await painted({ lora: [{ file, scale: 0 }] }), await painted({ lora: [{ file }] })];
	expect(none.output).toEqual(plain.output);
	expect(maxDifference(whole.output, plain.output)).toBeGreaterThan(1e-3);
	expect(new Set([plain.hash, none.hash, whole.hash]).size).toBe(3);
	expect((await painted({ lora: [{ file, scale: 1 }] })).hash).toBe(whole.hash);
});

test("a left-out text layer changes the image and the hash", async () => {
	const [plain, skipped] = [await painted({}), await painted({ clipSkip: 1 })];
	expect(maxDifference(skipped.output, plain.output)).toBeGreaterThan(1e-4);
	expect(skipped.hash).not.toBe(plain.hash);
	await expect(openInpaintPipeline(FOLDER, { clipSkip: 2 })).rejects.toThrowError(/clipSkip: expected a whole number from 0 to 1, found 2/);
});

test("purifiers take a LoRA by its file or its folder, and refuse what is none", async () => {
	for (const lora of [file, folder]) {
		const purifier = await openPurifier({ name: "naive", model: FOLDER, lora, loraScale: 0.5, steps: 2 }, { session: { threads: 1 } });
		await purifier.close();
	}
	const wrong = openPurifier({ name: "naive", model: FOLDER, lora: FOLDER });
	await expect(wrong).rejects.toThrowError(/diffusers.inpaint: expected a LoRA/);
	const misfit = join(folder, "misfit.safetensors");
	await writeSafetensors(misfit, { [`${KEY}.lora_down.weight`]: [2, 5], [`${KEY}.lora_up.weight`]: [16, 2] });
	await expect(openPurifier({ name: "naive", model: FOLDER, lora: misfit })).rejects.toThrowError(/misfit\.safetensors: .*down \[2, 5\]/);
});
