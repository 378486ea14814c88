import { describe, expect, it } from "vitest";
import { HUB_MODELS, hubModel, REMOVED } from "./catalogue.ts";
import { REPOSITORY } from "./repository.ts";
import { type SelectOptions, selectFiles } from "./select.ts";

const select = (paths: readonly string[], options?: SelectOptions) =>
	selectFiles({ name: "org/name", files: paths.map((path) => ({ path })) }, options)
		.map(({ path }) => path)
		.sort();

/** Stable Diffusion 2 inpainting as it was published, with what nobody needs here. */
const pipeline = [
	".gitattributes",
	"512-inpainting-ema.ckpt",
	"512-inpainting-ema.safetensors",
	"README.md",
	"model_index.json",
	"feature_extractor/preprocessor_config.json",
	"safety_checker/config.json",
	"safety_checker/model.safetensors",
	"scheduler/scheduler_config.json",
	"text_encoder/config.json",
	"text_encoder/model.fp16.safetensors",
	"text_encoder/model.safetensors",
	"text_encoder/pytorch_model.bin",
	"tokenizer/merges.txt",
	"tokenizer/special_tokens_map.json",
	"tokenizer/tokenizer_config.json",
	"tokenizer/vocab.json",
	"unet/config.json",
	"unet/diffusion_pytorch_model.bin",
	"unet/diffusion_pytorch_model.fp16.safetensors",
	"unet/diffusion_pytorch_model.non_ema.safetensors",
	"unet/diffusion_pytorch_model.safetensors",
	"vae/config.json",
	"vae/diffusion_pytorch_model.bin",
	"vae/diffusion_pytorch_model.fp16.safetensors",
	"vae/diffusion_pytorch_model.safetensors",
];
const configurations = [
	"model_index.json",
	"scheduler/scheduler_config.json",
	"text_encoder/config.json",
	"tokenizer/merges.txt",
	"tokenizer/special_tokens_map.json",
	"tokenizer/tokenizer_config.json",
	"tokenizer/vocab.json",
	"unet/config.json",
	"vae/config.json",
];

describe("selectFiles", () => {
	it("takes the components of a pipeline, once, in float32 or float16", () => {
		const weights = (variant: string) => [
			`text_encoder/model${variant}.safetensors`,
			`unet/diffusion_pytorch_model${variant}.safetensors`,
			`vae/diffusion_pytorch_model${variant}.safetensors`,
		];
		expect(select(pipeline)).toEqual([...configurations, ...weights("")].sort());
		expect(select(pipeline, { float16: true })).toEqual([...configurations, ...weights(".fp16")].sort());
		const half = pipeline.filter((path) => path !== "unet/diffusion_pytorch_model.safetensors");
		expect(select(half)).toContain("unet/diffusion_pytorch_model.fp16.safetensors");
		expect(select(half)).toContain("vae/diffusion_pytorch_model.safetensors");
	});

	it("refuses a pipeline with a component that is only a pickle", () => {
		const without = pipeline.filter((path) => !/^vae\/.*safetensors$/.test(path));
		expect(() => select(without)).toThrow(/org\/name: expected weights .* found only pickles: vae\/diffusion_pytorch_model.bin/);
		const checker = pipeline.filter((path) => path !== "safety_checker/model.safetensors");
		expect(() => select([...checker, "safety_checker/pytorch_model.bin"])).not.toThrow();
	});

	it("takes UNet and scheduler side by side, as in google/ddpm-cifar10-32", () => {
		const files = ["config.json", "diffusion_pytorch_model.safetensors", "model_index.json", "scheduler_config.json"];
		const others = [".gitattributes", "README.md", "diffusion_pytorch_model.bin", "modeling_ddpm.py", "images/generated_image_0.png"];
		expect(select([...files, ...others])).toEqual(files);
	});

	it("takes the two towers of CLIP, or one model, with external data", () => {
		const texts = ["LICENSE", "config.json", "merges.txt", "tokenizer.json", "vocab.json"];
		const onnx = ["model", "text_model", "vision_model"].flatMap((name) => [`onnx/${name}.onnx`, `onnx/${name}_quantized.onnx`]);
		expect(select([...texts, ...onnx])).toEqual([...texts, "onnx/text_model.onnx", "onnx/vision_model.onnx"].sort());
		const large = ["config.json", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_fp16.onnx_data", "model.safetensors"];
		expect(select(large)).toEqual(["config.json", "onnx/model.onnx", "onnx/model.onnx_data"]);
	});

	it("takes shards with their index, and one file of TAESD", () => {
		const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"];
		expect(select(["config.json", ...shards])).toEqual(["config.json", ...shards]);
		const taesd = ["config.json", "diffusion_pytorch_model.safetensors"];
		expect(select([...taesd, "taesd_decoder.safetensors", "taesd_encoder.safetensors"])).toEqual(taesd);
	});

	it("takes a LoRA where there is nothing else", () => {
		const lora = "pytorch_lora_weights.safetensors";
		expect(select([".gitattributes", "README.md", "image.png", lora])).toEqual([lora]);
		expect(select(["config.json", "model.safetensors", lora])).toEqual(["config.json", "model.safetensors"]);
	});

	it("never takes a pickle, and says why", () => {
		for (const file of ["pytorch_model.bin", "model.pt", "model.pth", "sd.ckpt", "weights.pkl"]) {
			expect(() => select(["config.json", file])).toThrow(`only pickles: ${file}; convert the model to safetensors or ONNX`);
			expect(select(["config.json", "model.safetensors", file])).toEqual(["config.json", "model.safetensors"]);
		}
		expect(() => select(["README.md"])).toThrow(/found none/);
	});
});

describe("the catalogue", () => {
	it("has what the paper needs, each name once, and a mirror for what was removed", () => {
		const names = HUB_MODELS.map(({ name }) => name);
		expect(new Set(names).size).toBe(names.length);
		for (const { name, repository, bytes } of HUB_MODELS) {
			expect(repository).toMatch(REPOSITORY);
			expect(name).not.toContain("/");
			expect(bytes).toBeGreaterThan(1e6);
		}
		for (const mirror of Object.values(REMOVED)) expect(hubModel(mirror)?.repository.split("/")[0]).not.toMatch(/stabilityai|runwayml/);
	});
});
