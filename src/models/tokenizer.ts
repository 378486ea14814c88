/** @file Text -> token ids, from the tokenizer files of a model. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { KintsugiError } from "../errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

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

/** A token in tokenizer_config.json: its text, or an object that holds it. */
const tokenText = (token: unknown): unknown =>
	typeof token === "object" && token !== null ? (token as { content?: unknown }).content : token;

/** model_max_length is about 1e30 in tokenizers that have no limit. */
const MAX_LENGTH = 4096;

/** Opens tokenizer.json and tokenizer_config.json of a folder; throws `model` where they are missing or malformed. */
export async function openTokenizer(folder: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
	const read = async (name: string): Promise<Record<string, unknown>> => {
		try {
			return JSON.parse(await readFile(join(folder, name), "utf8")) as Record<string, unknown>;
		} catch (cause) {
			const parts = {
				where: join(folder, name),
				expected: "the tokenizer of the model",
				found: `${cause}`,
				fix: "save the fast tokenizer with the model",
			};
			throw new KintsugiError("model", parts, { cause });
		}
	};
	const [json, config] = await Promise.all([read("tokenizer.json"), read("tokenizer_config.json")]);
	const tokenizer = new HubTokenizer(json, config);
	const length = options.length ?? config.model_max_length;
	if (typeof length !== "number" || !Number.isInteger(length) || length < 2 || length > MAX_LENGTH) {
		throw new KintsugiError("model", {
			where: join(folder, "tokenizer_config.json"),
			expected: `model_max_length from 2 to ${MAX_LENGTH}`,
			found: `${length}`,
			fix: "give the length that the text encoder was trained with",
		});
	}
	const padToken = tokenText(config.pad_token ?? config.eos_token);
	const pad = typeof padToken === "string" ? tokenizer.token_to_id(padToken) : undefined;
	if (pad === undefined) {
		throw new KintsugiError("model", {
			where: join(folder, "tokenizer_config.json"),
			expected: "a pad_token of the vocabulary",
			found: JSON.stringify(padToken) ?? "none",
			fix: "name the padding token",
		});
	}
	const padded = (text: string): number[] => {
		const { ids } = tokenizer.encode(text);
		const kept = ids.length > length ? [...ids.slice(0, length - 1), ids[ids.length - 1]] : ids;
		return [...kept, ...Array.from({ length: length - kept.length }, () => pad)];
	};
	return {
		length,
		files: [join(folder, "tokenizer.json"), join(folder, "tokenizer_config.json")],
		encode: (texts) => tensor(BigInt64Array.from(texts.flatMap(padded), BigInt), [texts.length, length], "int64"),
	};
}
