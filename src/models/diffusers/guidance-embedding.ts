/** @file The guidance scale as a network distilled with guidance reads it (LCM: Luo et al. 2023, arXiv:2310.04378). */
import { type Tensor, tensor } from "../../tensor/tensor.ts";

/**
 * `timestep_cond` `[1, channels]`: sines, then cosines of 1000 (scale - 1) exp(-ln(10000) i / (channels / 2 - 1)), as
 * `get_guidance_scale_embedding` of diffusers' LatentConsistencyModelPipeline; rounded to float32 at every step like there. Phases reach
 * thousands, so a single entry may differ by 1e-3 where PyTorch's vectorised exp is off by one unit in the last place.
 */
export function guidanceEmbedding(scale: number, channels: number): Tensor {
	const half = Math.floor(channels / 2);
	const rate = Math.fround(Math.fround(Math.log(10_000)) / (half - 1));
	const w = Math.fround(Math.fround(scale - 1) * 1000);
	const data = new Float32Array(channels);
	for (let i = 0; i < half; i++) {
		const phase = Math.fround(w * Math.fround(Math.exp(Math.fround(i * -rate))));
		data[i] = Math.sin(phase);
		data[half + i] = Math.cos(phase);
	}
	return tensor(data, [1, channels]);
}
