/** @file Purifiers by name, from the plain options of an experiment file or a command line. */
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { type HashMemo, hashFiles } from "../hub/hash.ts";
import { resolveModel as resolveFromHub } from "../hub/resolve.ts";
import { autoencoderIn, openAutoencoder } from "../models/diffusers/autoencoder.ts";
import type { SessionOptions } from "../runtime/index.ts";
import { blur, blurSchema } from "./blur.ts";
import { ddpm, ddpmSchema } from "./ddpm.ts";
import { jpeg, jpegSchema } from "./jpeg.ts";
import { naive, naiveSchema } from "./naive.ts";
import { none, noneSchema } from "./none.ts";
import { parseOptions } from "./options.ts";
import { openDdpmPipeline } from "./pipelines/ddpm.ts";
import { openInpaintPipeline } from "./pipelines/inpaint.ts";
import type { Purifier } from "./purifier.ts";
import { segmentationGuided, segmentationGuidedSchema } from "./segmentation-guided.ts";
import { vae, vaeSchema } from "./vae.ts";

const model = (name: string) =>
	z.string().min(1).default(name).describe("diffusers folder, name of a bundled or pulled model, or ORG/NAME of a pulled one");
// One image at a time costs a CPU about as much as four (bench/inpaint.ts), and a batch that is not full costs as much as a full one.
const batch = z.int().positive().default(1).describe("images computed together, for devices that gain from it; does not change the result");

const otherVae = z
	.string()
	.min(1)
	.optional()
	.describe("another autoencoder for the model's latents, such as TAESD: a folder or name as for model; default: the model's own");
const lora = z
	.string()
	.min(1)
	.optional()
	.describe(
		"LoRA whose weights are merged into the model's, such as lcm-lora-sd1.5: a .safetensors file, or a folder or name as for model",
	);
const inpainting = {
	model: model("mini-inpaint"),
	vae: otherVae,
	lora,
	loraScale: z.number().default(1).describe("how much of the LoRA is merged"),
	clipSkip: z.int().nonnegative().default(0).describe("layers of the text encoder that are left out at the end"),
	batch,
};

/** Options of every purifier, told apart by `name`. */
export const purifierSchema = z.discriminatedUnion("name", [
	segmentationGuidedSchema.extend({ name: z.literal("segmentation-guided"), ...inpainting }),
	naiveSchema.extend({ name: z.literal("naive"), ...inpainting }),
	ddpmSchema.extend({ name: z.literal("ddpm"), model: model("mini-ddpm"), batch }),
	vaeSchema.extend({ name: z.literal("vae"), model: model("mini-inpaint") }),
	jpegSchema.extend({ name: z.literal("jpeg") }),
	blurSchema.extend({ name: z.literal("blur") }),
	noneSchema.extend({ name: z.literal("none") }),
]);

export type PurifierSpec = z.input<typeof purifierSchema>;
export type PurifierName = PurifierSpec["name"];

/** Names of the purifiers, in the order of the schema. */
export const PURIFIERS: readonly PurifierName[] = purifierSchema.options.map((option) => option.shape.name.value);

export interface PurifierContext {
	/** The folder of a model, from its name or a path; by default that of `src/hub`. */
	resolveModel?: (reference: string) => Promise<{ readonly dir: string; readonly file?: string }>;
	session?: SessionOptions;
	/** Hashes of model files that are known already. */
	memo?: HashMemo;
}

type InpaintingFields = z.output<z.ZodObject<typeof inpainting>>;

async function loraFile(reference: string, resolveModel: NonNullable<PurifierContext["resolveModel"]>): Promise<string> {
	const { dir, file } = await resolveModel(reference);
	if (file?.endsWith(".safetensors")) return file;
	const found = file ?? dir;
	throw new KintsugiError("model", {
		where: reference,
		expected: "a LoRA",
		found,
		fix: "name a LoRA: its .safetensors file, its folder or its repository",
	});
}

/** Opens a purifier with its models; `purifier.close()` closes them. Throws `config` or `model` for models that do not fit. */
export async function openPurifier(spec: PurifierSpec, context: PurifierContext = {}): Promise<Purifier> {
	const { memo = new Map(), resolveModel = (reference) => resolveFromHub(reference, { memo }), session = {} } = context;
	const parsed = parseOptions(purifierSchema, spec, "purifier");
	const pipelineOptions = { ...session, hashing: { memo } };
	const openInpainting = async ({ model, vae, lora, loraScale, clipSkip, batch }: InpaintingFields) => {
		const { dir } = await resolveModel(model);
		return openInpaintPipeline(dir, {
			...pipelineOptions,
			vae: vae === undefined ? undefined : (await resolveModel(vae)).dir,
			lora: lora === undefined ? [] : [{ file: await loraFile(lora, resolveModel), scale: loraScale }],
			clipSkip,
			batch,
		});
	};
	switch (parsed.name) {
		case "segmentation-guided": {
			const { name: _, model, vae, lora, loraScale, clipSkip, batch, ...options } = parsed;
			return segmentationGuided(await openInpainting({ model, vae, lora, loraScale, clipSkip, batch }), options);
		}
		case "naive": {
			const { name: _, model, vae, lora, loraScale, clipSkip, batch, ...options } = parsed;
			return naive(await openInpainting({ model, vae, lora, loraScale, clipSkip, batch }), options);
		}
		case "ddpm": {
			const { name: _, model: reference, batch: size, ...options } = parsed;
			const { dir } = await resolveModel(reference);
			return ddpm(await openDdpmPipeline(dir, { ...pipelineOptions, batch: size }), options);
		}
		case "vae": {
			const { dir } = await resolveModel(parsed.model);
			const autoencoder = await openAutoencoder(autoencoderIn(dir), session);
			return vae(autoencoder, { modelHash: await hashFiles(autoencoder.files, { base: dir, memo }) });
		}
		case "jpeg":
			return jpeg({ quality: parsed.quality });
		case "blur":
			return blur({ sigma: parsed.sigma });
		case "none":
			return none();
	}
}
