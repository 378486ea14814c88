/** @file Text -> token ids, from the tokenizer files of a model. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { KintsugiError } from "../errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { clipTokenizerJson } from "./clip-tokenizer-json.ts";

export interface Tokenizer {
	/** Length to which every text is padded or cut. */
	readonly length: number;
	/** The files that decide the ids. */
	readonly files: readonly string[];
	/** Token ids `[N, length]`, padded with the padding token; long texts are cut and keep their last (end) token. */
	encode(texts: readonly string[]): Tensor<"int64">;
}

export interface TokenizerOptions {
	/** Default: model_max_length of tokenizer_config.json. */
	length?: number;
}

/** model_max_length is about 1e30 in tokenizers that have no limit. */
const MAX_LENGTH = 4096;

/**
 * Opens the tokenizer of a folder: tokenizer.json, or vocab.json and merges.txt of a CLIP tokenizer, with tokenizer_config.json.
 * Throws `model` where files are missing or malformed.
 */
export async function openTokenizer(folder: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
	const files = await tokenizerFiles(folder);
	const { json, config } = await readTokenizer(files);
	const tokenizer = new HubTokenizer(json, config);
	const length = options.length ?? config.model_max_length;
	if (typeof length !== "number" || !Number.isInteger(length) || length < 2 || length > MAX_LENGTH) {
		const fix = "give the length that the text encoder was trained with";
		throw refuse(files.config, `model_max_length from 2 to ${MAX_LENGTH}`, `${length}`, fix);
	}
	const padToken = tokenText(config.pad_token ?? config.eos_token);
	const pad = typeof padToken === "string" ? tokenizer.token_to_id(padToken) : undefined;
	if (pad === undefined) {
		throw refuse(files.config, "a pad_token of the vocabulary", JSON.stringify(padToken) ?? "none", "name the padding token");
	}
	const padded = (text: string): number[] => {
		const { ids } = tokenizer.encode(text);
		const kept = ids.length > length ? [...ids.slice(0, length - 1), ids[ids.length - 1]] : ids;
		return [...kept, ...Array.from({ length: length - kept.length }, () => pad)];
	};
	return {
		length,
		files: Object.values(files),
		encode: (texts) => tensor(BigInt64Array.from(texts.flatMap(padded), BigInt), [texts.length, length], "int64"),
	};
}

const refuse = (where: string, expected: string, found: string, fix: string) => new KintsugiError("model", { where, expected, found, fix });

/** A token in a configuration: its text, or an object that holds it. */
const tokenText = (token: unknown): unknown =>
	typeof token === "object" && token !== null ? (token as { content?: unknown }).content : token;

interface TokenizerFiles {
	config: string;
	tokenizer?: string;
	vocab?: string;
	merges?: string;
	specials?: string;
}

async function tokenizerFiles(folder: string): Promise<TokenizerFiles> {
	const has = (name: string) => existsSync(join(folder, name));
	const path = (name: string) => join(folder, name);
	// Older versions keep the special tokens here too, and this file wins (Stable Diffusion 2 pads with "!").
	const specials = has("special_tokens_map.json") ? { specials: path("special_tokens_map.json") } : {};
	const config = path("tokenizer_config.json");
	if (has("vocab.json") && has("merges.txt") && !has("tokenizer.json")) {
		return { config, vocab: path("vocab.json"), merges: path("merges.txt"), ...specials };
	}
	return { config, tokenizer: path("tokenizer.json"), ...specials };
}

async function readTokenizer(files: TokenizerFiles): Promise<{ json: Record<string, unknown>; config: Record<string, unknown> }> {
	const text = (path: string) =>
		readFile(path, "utf8").catch((cause: Error) => {
			throw refuse(path, "a file of the model's tokenizer", cause.message, "save the tokenizer with the model");
		});
	const read = async (path: string): Promise<Record<string, unknown>> => {
		const content = await text(path);
		try {
			return JSON.parse(content) as Record<string, unknown>;
		} catch {
			throw refuse(path, "JSON", "text that does not parse", "save the tokenizer with the model");
		}
	};
	const config = { ...(await read(files.config)), ...(files.specials ? await read(files.specials) : {}) };
	if (files.tokenizer) return { json: await read(files.tokenizer), config };
	const vocab = (await read(files.vocab ?? "")) as Record<string, number>;
	return { json: clipTokenizerJson(vocab, await text(files.merges ?? "")), config };
}
