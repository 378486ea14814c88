/** @file CLIPTextModel: token ids -> the last hidden state, which is what Stable Diffusion reads. */
import { z } from "zod";
import { KintsugiError } from "../../errors.ts";
import { floatTensor, graphBuilder, int64Tensor } from "../../onnx/builder.ts";
import type { Graph } from "../../onnx/graph.ts";
import { prune } from "../../onnx/prune.ts";
import { ignored, parseConfig, positive, requireConfig } from "./config.ts";
import { attention, layerNorm, linear, type Net } from "./layers.ts";
import type { Weights } from "./weights.ts";

/** Settings of training, of generation and of the library that transformers writes into this file; none changes the hidden states. */
const LIBRARY_FIELDS = [
	"add_cross_attention",
	"architectures",
	"attention_dropout",
	"bos_token_id",
	"chunk_size_feed_forward",
	"dropout",
	"dtype",
	"eos_token_id",
	"finetuning_task",
	"id2label",
	"initializer_factor",
	"initializer_range",
	"is_decoder",
	"is_encoder_decoder",
	"label2id",
	"output_attentions",
	"output_hidden_states",
	"pad_token_id",
	"problem_type",
	"projection_dim",
	"return_dict",
	"sep_token_id",
	"task_specific_params",
	"tie_encoder_decoder",
	"tie_word_embeddings",
	"tokenizer_class",
	"torch_dtype",
	"torchscript",
	"transformers_version",
	"use_bfloat16",
	"use_cache",
] as const;

const schema = z.strictObject({
	vocab_size: positive.default(49408),
	hidden_size: positive.default(512),
	intermediate_size: positive.default(2048),
	num_hidden_layers: positive.default(12),
	num_attention_heads: positive.default(8),
	max_position_embeddings: positive.default(77),
	hidden_act: z.enum(["quick_gelu", "gelu"]).default("quick_gelu"),
	layer_norm_eps: z.number().positive().default(1e-5),
	model_type: z.literal("clip_text_model").default("clip_text_model"),
	...Object.fromEntries(LIBRARY_FIELDS.map((name) => [name, ignored.optional()])),
});

export type ClipTextConfig = z.infer<typeof schema>;

export function parseClipText(json: Record<string, unknown>, where: string): ClipTextConfig {
	const config = parseConfig(schema, json, where);
	const { hidden_size: width, num_attention_heads: heads } = config;
	requireConfig(width % heads === 0, where, `hidden_size divisible by num_attention_heads = ${heads}`, width);
	return config;
}

export interface ClipTextDims {
	batch: number | string;
	/** Length of the text, at most max_position_embeddings. */
	tokens: number;
	/** Layers left out at the end, before the final layer norm (`clip_skip` of diffusers' pipelines). */
	clipSkip?: number;
}

/**
 * `input_ids` int64 `[N, tokens]` -> `last_hidden_state` `[N, tokens, hidden_size]`, after the final layer norm. Stable Diffusion 2 reads
 * the last layer but one: its published encoder was saved without the last. Throws `value` for a `clipSkip` that leaves no layer.
 */
export function clipTextModel(config: ClipTextConfig, weights: Weights, { batch, tokens, clipSkip = 0 }: ClipTextDims): Graph {
	const layers = config.num_hidden_layers - clipSkip;
	if (!Number.isInteger(layers) || layers < 1 || clipSkip < 0) {
		const expected = `a whole number from 0 to ${config.num_hidden_layers - 1}`;
		throw new KintsugiError("value", { where: "clipSkip", expected, found: `${clipSkip}`, fix: "leave it out, or use 1" });
	}
	const { hidden_size: channels, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
	const net: Net = { g: graphBuilder({ name: "CLIPTextModel" }), weights };
	const { g } = net;
	const ids = g.input("input_ids", "int64", [batch, tokens]);
	const words = g.op("Gather", [weights.use(g, "embeddings.token_embedding.weight", [config.vocab_size, channels]), ids], { axis: 0 });
	const table = weights.use(g, "embeddings.position_embedding.weight", [config.max_position_embeddings, channels]);
	const range = [g.constant(int64Tensor([0])), g.constant(int64Tensor([tokens])), g.constant(int64Tensor([0]))];
	let x = g.op("Add", [words, g.op("Slice", [table, ...range])]);
	let chosen = x;
	const mask = g.constant(causalMask(tokens));
	const names = ["q_proj", "k_proj", "v_proj", "out_proj"] as const;
	for (let i = 0; i < config.num_hidden_layers; i++) {
		const layer = `encoder.layers.${i}`;
		const first = layerNorm(net, `${layer}.layer_norm1`, x, channels, epsilon);
		const mixed = attention(net, `${layer}.self_attn`, first, { channels, heads, queryTokens: tokens, bias: true, names, mask });
		x = g.op("Add", [x, mixed]);
		const second = layerNorm(net, `${layer}.layer_norm2`, x, channels, epsilon);
		const inner = linear(net, `${layer}.mlp.fc1`, second, { in: channels, out: config.intermediate_size, tokens });
		const outer = linear(net, `${layer}.mlp.fc2`, activation(net, inner, config.hidden_act), {
			in: config.intermediate_size,
			out: channels,
			tokens,
		});
		x = g.op("Add", [x, outer]);
		if (i === layers - 1) chosen = x;
	}
	const last = layerNorm(net, "final_layer_norm", chosen, channels, epsilon);
	g.output(g.op("Identity", [last], {}, { name: "last_hidden_state" }), "float", [batch, tokens, channels]);
	// Layers that are left out were written only so that their weights count as used.
	return prune(g.build());
}

/** A token sees itself and what stands before it. */
function causalMask(tokens: number) {
	const values = Float32Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -Infinity : 0));
	return floatTensor(values, [tokens, tokens]);
}

function activation({ g }: Net, x: string, kind: ClipTextConfig["hidden_act"]): string {
	return kind === "gelu" ? g.op("Gelu", [x]) : g.op("Mul", [x, g.op("Sigmoid", [g.op("Mul", [x, g.scalar(1.702)])])]);
}
