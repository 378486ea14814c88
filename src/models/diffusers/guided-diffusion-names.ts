/** @file Where guided-diffusion keeps what UNet2DModel calls by other names: the same network, numbered instead of named. */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Weights } from "./weights.ts";

export interface GuidedLayout {
	/** ResNets of each level on the way down. */
	resnets: number;
	/** Levels with attention, from the outermost. */
	attends: readonly boolean[];
	/** Heads of an attention with so many channels; those on the way up may have a number of their own. */
	heads(channels: number, way: "down" | "up"): number;
	/** Whether the rows of a `qkv` matrix are sorted by part and then by head, or by head and then by part. */
	partsFirst: boolean;
}

const OUTER: Readonly<Record<string, string>> = {
	"time_embedding.linear_1": "time_embed.0",
	"time_embedding.linear_2": "time_embed.2",
	class_embedding: "label_emb",
	conv_in: "input_blocks.0.0",
	conv_norm_out: "out.0",
	conv_out: "out.2",
};

const MIDDLE: Readonly<Record<string, string>> = { "resnets.0": "0", "attentions.0": "1", "resnets.1": "2" };

const LAYERS: Readonly<Record<string, string>> = {
	norm1: "in_layers.0",
	conv1: "in_layers.2",
	time_emb_proj: "emb_layers.1",
	norm2: "out_layers.0",
	conv2: "out_layers.3",
	conv_shortcut: "skip_connection",
	group_norm: "norm",
	"to_out.0": "proj_out",
};

/** The original name of a layer, without `.weight` or `.bias`: "down_blocks.0.resnets.1.norm1" -> "input_blocks.2.0.in_layers.0". */
export function originalName(name: string, { resnets, attends }: GuidedLayout): string {
	if (name in OUTER) return OUTER[name];
	const [, way, number, place, layer] = /^(\w+?)_blocks?(?:\.(\d+))?\.(\w+\.\d+)\.(.+)$/.exec(name) ?? [];
	const renamed = LAYERS[layer] ?? layer;
	if (way === "mid") return `middle_block.${MIDDLE[place]}.${renamed}`;
	const block = Number(number);
	const [kind, i] = place.split(".");
	const first = block * (resnets + 1);
	if (way === "down") {
		if (kind === "downsamplers") return `input_blocks.${first + resnets + 1}.0.${layer === "conv" ? "op" : renamed}`;
		return `input_blocks.${first + Number(i) + 1}.${kind === "attentions" ? 1 : 0}.${renamed}`;
	}
	if (kind === "upsamplers") return `output_blocks.${first + resnets}.${attends[attends.length - 1 - block] ? 2 : 1}.${renamed}`;
	return `output_blocks.${first + Number(i)}.${kind === "attentions" ? 1 : 0}.${renamed}`;
}

/** The weights of a guided-diffusion checkpoint under the names that UNet2DModel's parts ask for. */
export function guidedWeights(weights: Weights, layout: GuidedLayout): Weights {
	const renamed = (name: string): string => {
		const [, layer, kind] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
		return `${originalName(layer, layout)}.${kind}`;
	};
	return {
		...weights,
		has: (name) => weights.has(renamed(name)),
		use(g, name, dims) {
			const [, attention, part, kind] = /^(.*)\.to_([qkv])\.(weight|bias)$/.exec(name) ?? [];
			if (attention) return projection(g, attention, "qkv".indexOf(part), kind, dims);
			// Attention is a convolution over a line here: its matrices have a last dim of 1.
			const isLine = name.endsWith(".to_out.0.weight");
			const found = weights.use(g, renamed(name), isLine ? [...dims, 1] : dims);
			return isLine ? g.op("Reshape", [found, g.ints(dims)]) : found;
		},
	};

	/** Queries, keys or values (`part` 0, 1, 2) out of the one matrix, or of its bias; folded when the graph is opened. */
	function projection(g: GraphBuilder, attention: string, part: number, kind: string, dims: readonly number[]): string {
		const [channels] = dims;
		const shape = kind === "weight" ? [3 * channels, channels, 1] : [3 * channels];
		const whole = weights.use(g, `${originalName(`${attention}.qkv`, layout)}.${kind}`, shape);
		const heads = layout.heads(channels, attention.startsWith("up_") ? "up" : "down");
		const sorted = g.op("Reshape", [whole, g.ints([layout.partsFirst ? 1 : heads, 3, -1])]);
		return g.op("Reshape", [g.op("Gather", [sorted, g.ints([part])], { axis: 1 }), g.ints(dims)]);
	}
}
