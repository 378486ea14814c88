/** @file Prompts -> the hidden states that a UNet reads. */
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { openSession, type SessionOptions } from "../../runtime/index.ts";
import { row, type Tensor } from "../../tensor/tensor.ts";
import { openTokenizer } from "../tokenizer.ts";
import { clipTextModel, parseClipText } from "./clip-text-model.ts";
import { readJson } from "./config.ts";
import type { Lora } from "./lora.ts";
import { openWeights } from "./weights.ts";

export interface TextEncoder {
	/** Length of every text, in tokens. */
	readonly tokens: number;
	/** Channels of the hidden states. */
	readonly channels: number;
	/** Every file that decides the outputs, but those of LoRA. */
	readonly files: readonly string[];
	/** Hidden states `[tokens, channels]` of a prompt; computed once for each prompt. */
	encode(prompt: string): Promise<Tensor>;
	close(): Promise<void>;
}

export interface TextEncoderOptions extends SessionOptions {
	/** Layers left out at the end (`clip_skip` of diffusers' pipelines). */
	clipSkip?: number;
	/** LoRA files that are merged into the weights. */
	lora?: readonly Lora[];
}

/** Opens the `text_encoder` and `tokenizer` folders of a diffusers pipeline. */
export async function openTextEncoder(
	folder: string,
	tokenizerFolder: string,
	{ clipSkip = 0, lora = [], ...session }: TextEncoderOptions = {},
): Promise<TextEncoder> {
	const where = join(folder, "config.json");
	const config = parseClipText(await readJson(where), where);
	const tokenizer = await openTokenizer(tokenizerFolder);
	if (tokenizer.length > config.max_position_embeddings) {
		throw new KintsugiError("config", {
			where: tokenizerFolder,
			expected: `texts of at most ${config.max_position_embeddings} tokens`,
			found: `model_max_length = ${tokenizer.length}`,
			fix: "use the tokenizer that belongs to the text encoder",
		});
	}
	const weights = await openWeights(folder, "model", { lora, part: "text_encoder" });
	const graph = clipTextModel(config, weights, { batch: 1, tokens: tokenizer.length, clipSkip });
	weights.finish();
	const opened = await openSession(graph, session);
	const states = new Map<string, Promise<Tensor>>();
	const encode = async (prompt: string): Promise<Tensor> => {
		const { last_hidden_state: state } = await opened.run({ input_ids: tokenizer.encode([prompt]) });
		return row(state as Tensor, 0);
	};
	return {
		tokens: tokenizer.length,
		channels: config.hidden_size,
		files: [where, ...weights.files, ...tokenizer.files],
		encode(prompt) {
			const state = states.get(prompt) ?? encode(prompt);
			states.set(prompt, state);
			return state;
		},
		async close() {
			await opened.close();
			await weights.close?.();
		},
	};
}
