/** @file The sinusoidal time embedding and its two layers. */
import { floatTensor } from "../../onnx/builder.ts";
import { linear, type Net, silu } from "./layers.ts";

export interface TimeEmbeddingOptions {
	/** Channels of the sinusoids: the first of block_out_channels. */
	channels: number;
	out: number;
	flipSinToCos: boolean;
	freqShift: number;
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

/** `timestep` float32 `[1]` -> SiLU of the embedding `[1, out]`, which is what every ResnetBlock2D reads. */
export function timeEmbedding(net: Net, timestep: string, { channels, out, flipSinToCos, freqShift }: TimeEmbeddingOptions): string {
	const { g } = net;
	const table = frequencies(channels, freqShift);
	const time = g.op("Reshape", [timestep, g.ints([-1, 1])]);
	const phase = g.op("Mul", [time, g.constant(floatTensor(table, [1, table.length]))]);
	const waves = [g.op("Sin", [phase]), g.op("Cos", [phase])];
	const embedding = g.op("Concat", flipSinToCos ? waves.reverse() : waves, { axis: -1 });
	const hidden = silu(net, linear(net, "time_embedding.linear_1", embedding, { in: channels, out }));
	return silu(net, linear(net, "time_embedding.linear_2", hidden, { in: out, out }));
}
