/** @file Which files of a repository Kintsugi needs. */
import { posix } from "node:path";
import { KintsugiError } from "../errors.ts";
import type { RemoteFile } from "./repository.ts";

/** Python pickles, or formats that usually are: opening one runs whatever program it holds. */
const PICKLE = /\.(bin|pt|pth|ckpt|pkl|pickle)$/i;

export const isPickle = (path: string): boolean => PICKLE.test(path);

/** Why pickles are refused, and what to do, as the end of an error. */
export const PICKLE_FIX =
	"convert the model to safetensors or ONNX: opening a pickle runs whatever program is inside, so Kintsugi neither fetches nor opens one";

/** What diffusers calls the file of a LoRA. */
export const LORA_FILE = "pytorch_lora_weights.safetensors";

/** Folders of pipelines that Kintsugi does not run. */
const UNUSED = new Set(["safety_checker", "feature_extractor", "image_encoder"]);

export interface SelectOptions {
	/** Prefer weights in float16 where the repository has both. */
	float16?: boolean;
}

/**
 * The files to fetch: configuration, tokenizer, licence and one set of weights. Of a diffusers pipeline its components; of a
 * repository with ONNX files the float32 models (for CLIP the two towers); else the safetensors beside config.json, or a LoRA.
 * Throws `model` where there are no weights, or only pickles.
 */
export function selectFiles<F extends Pick<RemoteFile, "path">>(
	repository: { readonly name: string; readonly files: readonly F[] },
	{ float16 = false }: SelectOptions = {},
): F[] {
	const { name, files } = repository;
	const paths = new Set(files.map(({ path }) => path));
	const pipeline = paths.has("model_index.json");
	const folders = new Set(pipeline ? [...paths].map(posix.dirname).filter((dir) => !dir.includes("/") && !UNUSED.has(dir)) : ["."]);
	const models = pipeline ? [] : onnxModels(paths);
	const tensors = models.length > 0 ? [] : [...folders].flatMap((folder) => safetensors([...paths], folder, float16));
	const weights = new Set([...models, ...tensors]);
	assertWeights(name, [...paths], folders, weights);
	return files.filter(({ path }) => weights.has(path) || (folders.has(posix.dirname(path)) && isConfiguration(path)));
}

const isConfiguration = (path: string): boolean =>
	(/\.json$/.test(path) && !/\.index(\.\w+)?\.json$/.test(path)) || /^(merges\.txt|LICENSE(\.\w+)?)$/.test(posix.basename(path));

/** The float32 models with their external data: two towers where they are, else one model. */
function onnxModels(paths: ReadonlySet<string>): string[] {
	for (const folder of ["onnx/", ""]) {
		for (const names of [["vision_model", "text_model"], ["model"]]) {
			const stems = names.map((one) => `${folder}${one}`);
			if (!stems.every((stem) => paths.has(`${stem}.onnx`))) continue;
			const data = (path: string) =>
				stems.some((stem) => path.startsWith(stem) && /^(\.onnx)?[._]data(_\d+)?$/.test(path.slice(stem.length)));
			return [...stems.map((stem) => `${stem}.onnx`), ...[...paths].filter(data)];
		}
	}
	return [];
}

/** Weights of one folder as transformers and diffusers name them: whole, or shards with their index; float32 or float16. */
function safetensors(paths: readonly string[], folder: string, float16: boolean): string[] {
	const here = paths.filter((path) => posix.dirname(path) === folder);
	const match = (pattern: RegExp) => here.filter((path) => pattern.test(posix.basename(path)));
	const full = match(/^(diffusion_pytorch_model|model)(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/);
	const half = match(/^(diffusion_pytorch_model|model)\.fp16\.safetensors$/);
	if (full.length === 0 && half.length === 0) return here.filter((path) => posix.basename(path) === LORA_FILE);
	return (float16 || full.length === 0) && half.length > 0 ? half : full;
}

function assertWeights(name: string, paths: readonly string[], folders: ReadonlySet<string>, weights: ReadonlySet<string>): void {
	const without = [...folders].filter((folder) => ![...weights].some((path) => posix.dirname(path) === folder));
	const pickles = paths.filter((path) => isPickle(path) && without.includes(posix.dirname(path)));
	const inComponents = pickles.filter((path) => weights.size === 0 || posix.dirname(path) !== ".");
	if (weights.size > 0 && inComponents.length === 0) return;
	throw new KintsugiError("model", {
		where: name,
		expected: "weights as .safetensors or .onnx",
		found: inComponents.length > 0 ? `only pickles: ${inComponents.slice(0, 3).join(", ")}` : "none",
		fix: inComponents.length > 0 ? PICKLE_FIX : "choose a repository that has them; for ONNX look for onnx/model.onnx",
	});
}
