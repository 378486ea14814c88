/** @file The sinusoidal time embedding and its two layers. */
import { floatTensor } from "../../onnx/builder.ts";
import { linear, type Net, silu } from "./layers.ts";

export interface TimeEmbeddingOptions {
	/** Channels of the sinusoids: the first of block_out_channels. */
	channels: number;
	out: number;
	flipSinToCos: boolean;
	freqShift: number;
	/** `[1, channels]`, projected and added to the sinusoids: what a distilled network is told of the guidance scale. */
	condition?: { value: string; channels: number } | undefined;
	/** One class an image, int64 `[N]`, of `count` that were learned: added before the last activation. */
	classes?: { labels: string; count: number } | undefined;
}

/**
 * exp(-ln(10000) i / (channels / 2 - shift)), rounded to float32 at every step as PyTorch does:
 * at t = 999 the last bit of a frequency is visible in the phase.
 */
function frequencies(channels: number, shift: number): Float32Array {
	const half = Math.floor(channels / 2);
	return Float32Array.from({ length: half }, (_, i) => {
		const exponent = Math.fround(Math.fround(-Math.log(10_000)) * i);
		return Math.exp(Math.fround(exponent / (half - shift)));
	});
}

/** `timestep` float32 `[1]` -> SiLU of the embedding `[1, out]`, with classes `[N, out]`, which is what every ResnetBlock2D reads. */
export function timeEmbedding(net: Net, timestep: string, options: TimeEmbeddingOptions): string {
	const { channels, out, flipSinToCos, freqShift, condition, classes } = options;
	const { g, weights } = net;
	const rates = frequencies(channels, freqShift);
	const time = g.op("Reshape", [timestep, g.ints([-1, 1])]);
	const phase = g.op("Mul", [time, g.constant(floatTensor(rates, [1, rates.length]))]);
	const waves = [g.op("Sin", [phase]), g.op("Cos", [phase])];
	const embedding = g.op("Concat", flipSinToCos ? waves.reverse() : waves, { axis: -1 });
	const projection = { in: condition?.channels ?? 0, out: channels, bias: false };
	const conditioned = condition
		? g.op("Add", [embedding, linear(net, "time_embedding.cond_proj", condition.value, projection)])
		: embedding;
	const hidden = silu(net, linear(net, "time_embedding.linear_1", conditioned, { in: channels, out }));
	const embedded = linear(net, "time_embedding.linear_2", hidden, { in: out, out });
	if (!classes) return silu(net, embedded);
	const learned = weights.use(g, "class_embedding.weight", [classes.count, out]);
	return silu(net, g.op("Add", [embedded, g.op("Gather", [learned, classes.labels])]));
}
