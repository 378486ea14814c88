/** @file Folders of pipelines that lack or hold what they must not: refused with the file, the reason and what to do; never opened in part. */
import { cp, mkdtemp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { KintsugiError } from "../../errors.ts";
import { openInpaintPipeline } from "./inpaint.ts";

let parent: string;
let folder: string;
beforeAll(async () => {
	parent = await mkdtemp(join(tmpdir(), "kintsugi-broken-"));
});
beforeEach(async () => {
	folder = await mkdtemp(join(parent, "pipeline-"));
	await cp(golden("diffusers/inpaint"), folder, { recursive: true });
});
afterAll(() => rm(parent, { recursive: true }));

/** The refusal of the folder; fails if it opens. */
async function refusal(): Promise<KintsugiError> {
	try {
		await (await openInpaintPipeline(folder, { threads: 1 })).close();
	} catch (error) {
		expect(error).toBeInstanceOf(KintsugiError);
		return error as KintsugiError;
	}
	throw new Error("the folder was opened");
}

const edit = async (file: string, change: (json: Record<string, unknown>) => void) => {
	const json = JSON.parse(await readFile(join(folder, file), "utf8")) as Record<string, unknown>;
	change(json);
	await writeFile(join(folder, file), JSON.stringify(json));
};

test("the folder as it is opens", async () => {
	await (await openInpaintPipeline(folder, { threads: 1 })).close();
});

describe("a file is missing", () => {
	test.each([
		"model_index.json",
		"scheduler/scheduler_config.json",
		"unet/config.json",
		"vae/config.json",
		"text_encoder/config.json",
		"tokenizer/tokenizer.json",
	])("%s", async (file) => {
		await rm(join(folder, file));
		expect((await refusal()).message).toContain(join(folder, file.split("/")[0]));
	});
	test.each(["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])("%s.safetensors", async (stem) => {
		await rm(join(folder, `${stem}.safetensors`));
		expect((await refusal()).message).toMatch(new RegExp(`${stem.split("/")[0]}: expected .*\\.safetensors, found no such file`));
	});
	test("the whole folder", async () => {
		folder = join(parent, "nowhere");
		expect((await refusal()).message).toMatch(/nowhere.model_index\.json.*no such file/);
	});
});

test.each(["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])("%s is only a pickle", async (stem) => {
	await rename(join(folder, `${stem}.safetensors`), join(folder, `${stem}.bin`));
	expect((await refusal()).message).toMatch(/only pickles: .*\.bin; convert the model to safetensors/);
});

describe("a file holds something else", () => {
	test.each([
		["unet/config.json", "_class_name", "SD3Transformer2DModel", /UNet2DConditionModel, found "SD3Transformer2DModel"/],
		["vae/config.json", "_class_name", "AsymmetricAutoencoderKL", /AutoencoderTiny or AutoencoderKL, found "Asymmetric/],
		["text_encoder/config.json", "model_type", "t5", /"clip_text_model"; .*|"clip_text_model".*t5/],
		["scheduler/scheduler_config.json", "sigmas_of_tomorrow", 1, /sigmas_of_tomorrow/],
		["unet/config.json", "sigmas_of_tomorrow", 1, /sigmas_of_tomorrow = 1/],
		["vae/config.json", "sigmas_of_tomorrow", 1, /sigmas_of_tomorrow = 1/],
		["text_encoder/config.json", "rope_theta", 1, /rope_theta = 1/],
	])("%s: %s = %j", async (file, field, value, message) => {
		await edit(file, (json) => {
			json[field] = value;
		});
		const error = await refusal();
		expect(error.code).toBe("config");
		expect(error.message).toContain(join(folder, file));
		expect(error.message).toMatch(message);
	});
	test("weights that end early", async () => {
		await truncate(join(folder, "unet/diffusion_pytorch_model.safetensors"), 200_000);
		expect((await refusal()).message).toMatch(/diffusion_pytorch_model\.safetensors: expected tensor .* to end inside the file/);
	});
	test("tensors of another shape, with all their names", async () => {
		await edit("unet/config.json", (json) => {
			json.cross_attention_dim = 24;
		});
		const { message } = await refusal();
		for (const part of ["to_k", "to_v"]) {
			expect(message).toContain(
				`down_blocks.1.attentions.0.transformer_blocks.0.attn2.${part}.weight is float [16, 12] and not float [16, 24]`,
			);
			expect(message).toContain(`mid_block.attentions.0.transformer_blocks.0.attn2.${part}.weight is float`);
		}
	});
});
