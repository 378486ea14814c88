/** @file The configurations of published checkpoints (test/golden/published): parsed, and built at their real size without weights. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { recordedWeights } from "../../../test/support/recorded-weights.ts";
import { schedulerFromConfig } from "../../schedulers/scheduler.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { autoencoderKLDecoder, autoencoderKLEncoder, parseAutoencoderKL } from "./autoencoder-kl.ts";
import { autoencoderTinyDecoder, autoencoderTinyEncoder, parseAutoencoderTiny } from "./autoencoder-tiny.ts";
import { clipTextModel, parseClipText } from "./clip-text-model.ts";
import { matchLoras } from "./lora.ts";
import { componentClasses } from "./pipeline-folder.ts";
import { parseUNet2D, unet2D } from "./unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";

type Json = Record<string, unknown>;
const readJson = (path: string) => JSON.parse(readFileSync(golden(path), "utf8")) as Json;

const NAMES = readdirSync(golden("published"), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
const filesOf = (component: string) =>
	NAMES.flatMap((name) => (readdirSync(golden(`published/${name}`)).includes(`${component}.json`) ? [name] : []));

/** Every tensor of the network that a configuration describes. */
function tensorsOf(json: Json, where: string): Map<string, readonly number[]> {
	const { dims, weights } = recordedWeights();
	const image = { batch: 1, height: 256, width: 256 };
	const build = {
		UNet2DConditionModel: () =>
			unet2DCondition(parseUNet2DCondition(json, where), weights, { batch: 1, height: 64, width: 64, tokens: 77 }),
		UNet2DModel: () => unet2D(parseUNet2D(json, where), weights, image),
		AutoencoderKL() {
			const config = parseAutoencoderKL(json, where);
			autoencoderKLEncoder(config, weights, image);
			autoencoderKLDecoder(config, weights, image);
		},
		AutoencoderTiny() {
			const config = parseAutoencoderTiny(json, where);
			autoencoderTinyEncoder(config, weights, image);
			autoencoderTinyDecoder(config, weights, image);
		},
		CLIPTextModel: () => clipTextModel(parseClipText(json, where), weights, { batch: 1, tokens: 77 }),
	};
	build[String(json._class_name ?? "CLIPTextModel") as keyof typeof build]();
	return dims;
}

const parameters = (dims: Map<string, readonly number[]>) => [...dims.values()].reduce((sum, d) => sum + sizeOf(d), 0);

describe("names and dims of all tensors are the library's own", () => {
	const facts = readJson("published_tensors.json") as Record<string, { tensors: number; parameters: number; sha256: string }>;
	test.each(Object.keys(facts))("%s", (path) => {
		const dims = tensorsOf(readJson(`published/${path}.json`), path);
		const lines = [...dims].map(([name, shape]) => `${name} ${shape.join(",")}`).sort();
		const sha256 = createHash("sha256").update(lines.join("\n")).digest("hex");
		expect({ tensors: dims.size, parameters: parameters(dims), sha256 }).toEqual(facts[path]);
	});
	test("of every configuration there is", () => {
		const all = ["unet", "vae", "text_encoder"].flatMap((component) => filesOf(component).map((name) => `${name}/${component}`));
		expect(Object.keys(facts).sort()).toEqual(all.sort());
	});
});

type Entry = readonly [name: string, dtype: string, shape: readonly number[], bytes: number];

function headerOf(entries: readonly Entry[]): { text: string; length: number } {
	let at = 0;
	const header: Json = { __metadata__: { format: "pt" } };
	for (const [name, dtype, shape, bytes] of entries) {
		const end = at + sizeOf(shape) * bytes;
		header[name] = { dtype, shape, data_offsets: [at, end] };
		at = end;
	}
	return { text: JSON.stringify(header), length: at };
}

/** The size of a .safetensors file of these tensors in this order; versions from 0.3 on fill the header up to eight bytes. */
function sizesInOrder(entries: readonly Entry[]): number[] {
	const { text, length } = headerOf(entries);
	return [8 + text.length + length, 8 + Math.ceil(text.length / 8) * 8 + length];
}

const byName = (entries: readonly Entry[]) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

interface PublishedFile {
	bytes: number;
	type: string;
	positions?: boolean;
	old?: boolean;
}

/** What the attention of autoencoders was called before diffusers 0.18. */
const oldName = (name: string) =>
	name
		.replace(
			/(attentions\.\d+\.)to_([qkv])\./,
			(_, start: string, part: "q" | "k" | "v") => `${start}${{ q: "query", k: "key", v: "value" }[part]}.`,
		)
		.replace(".to_out.0.", ".proj_attn.");

/** Sorted by name, or wider types first and then by name: versions differ. */
function fileSizes(dims: Map<string, readonly number[]>, { type, positions, old }: PublishedFile): number[] {
	const renamed = (name: string) => (positions ? `text_model.${name}` : old ? oldName(name) : name);
	const named = [...dims].map(([name, shape]): Entry => [renamed(name), type, shape, type === "F32" ? 4 : 2]);
	const ids: Entry[] = positions ? [["text_model.embeddings.position_ids", "I64", [1, 77], 8]] : [];
	return [...sizesInOrder(byName([...named, ...ids])), ...sizesInOrder([...ids, ...byName(named)])];
}

describe("the size of the published file follows from these tensors, to the byte", () => {
	const files = readJson("published/files.json") as Record<string, PublishedFile>;
	test.each(Object.keys(files))("%s", (path) => {
		const sizes = fileSizes(tensorsOf(readJson(`published/${path}.json`), path), files[path]);
		expect(sizes).toContain(files[path].bytes);
	});
});

/** LCM-LoRA for Stable Diffusion 1: every weight but the first, the last and the embedding's. */
function lcmLora(unet: Map<string, readonly number[]>): Entry[] {
	const weights = [...unet].filter(([name, shape]) => shape.length > 1 && !/^conv_|time_embedding/.test(name));
	return weights.flatMap(([name, [out, ...rest]]): Entry[] => {
		const key = `lora_unet_${name.replace(/\.weight$/, "").replaceAll(".", "_")}`;
		return [
			[`${key}.lora_down.weight`, "F16", [64, ...rest], 2],
			[`${key}.lora_up.weight`, "F16", rest.length > 1 ? [out, 64, 1, 1] : [out, 64], 2],
			[`${key}.alpha`, "F16", [], 2],
		];
	});
}

test("LCM-LoRA has the size of the published file, and every tensor of it a weight in the UNets of Stable Diffusion 1", async () => {
	const unetOf = (name: string) => tensorsOf(readJson(`published/${name}/unet.json`), name);
	const entries = lcmLora(unetOf("sd1.5"));
	expect(entries).toHaveLength(834);
	expect(sizesInOrder(byName(entries))).toContain(134_621_556);
	const folder = await mkdtemp(join(tmpdir(), "kintsugi-lcm-"));
	try {
		const file = join(folder, "pytorch_lora_weights.safetensors");
		await writeHeader(file, entries);
		for (const name of ["sd1.5", "sd1.5-inpainting", "lcm-dreamshaper"]) {
			const tensors = new Map([...unetOf(name)].map(([weight, dims]) => [weight, { dims }]));
			expect((await matchLoras(tensors, [{ file }], "unet", name)).size).toBe(278);
		}
		const other = new Map([...unetOf("sd2.1")].map(([weight, dims]) => [weight, { dims }]));
		await expect(matchLoras(other, [{ file }], "unet", "sd2.1")).rejects.toThrowError(
			/attn2\.to_k\.weight \[320, 1024\]: down \[64, 768\]/,
		);
	} finally {
		await rm(folder, { recursive: true });
	}
});

/** A file of these tensors with a hole in place of the numbers. */
async function writeHeader(file: string, entries: readonly Entry[]): Promise<void> {
	const { text, length } = headerOf(entries);
	const prefix = Buffer.alloc(8);
	prefix.writeBigUInt64LE(BigInt(text.length));
	await writeFile(file, Buffer.concat([prefix, Buffer.from(text)]));
	await truncate(file, 8 + text.length + length);
}

test.each(filesOf("scheduler"))("the scheduler of %s is read", (name) => {
	const where = `${name}/scheduler.json`;
	const scheduler = schedulerFromConfig(readJson(`published/${where}`), where)({ steps: 4 });
	expect(scheduler.timesteps.length).toBeGreaterThanOrEqual(4);
	expect(scheduler.name).toBe(readJson(`published/${where}`)._class_name);
});

const KNOWN = { unet: ["UNet2DConditionModel"], vae: ["AutoencoderKL", "AutoencoderTiny"], text_encoder: ["CLIPTextModel"] };

test.each(filesOf("model_index"))("the classes in the model index of %s are known", async (name) => {
	const json = readJson(`published/${name}/model_index.json`);
	const classes: Record<string, readonly string[]> = (json.unet as string[])[1] === "UNet2DModel" ? { unet: ["UNet2DModel"] } : KNOWN;
	const found = await componentClasses(golden(join("published", name)), classes);
	expect(Object.keys(found)).toEqual(Object.keys(classes));
});
