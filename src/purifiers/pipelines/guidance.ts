/** @file What a text-guided UNet predicts: prompts as hidden states, and classifier-free guidance. */
import type { Denoiser } from "../../models/diffusers/denoiser.ts";
import type { TextEncoder } from "../../models/diffusers/text-encoder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { joined, padded, rowCopy } from "./batches.ts";

export interface Guidance {
	/** Weight of the prompt against the negative prompt; 1 and below: none, at half the cost. */
	guidance: number;
	negativePrompt: string;
	/** Rows that the UNet computes at once; fewer prompts are filled up with repetitions of the last. */
	batch: number;
}

/** From the UNet's inputs (one `[C, h, w]` a prompt, flat) to its predictions. */
export type Predict = (rows: readonly Float32Array[], t: number, dims: readonly number[]) => Promise<Float32Array[]>;

/** Networks that read the guidance scale themselves need no second half without the prompt. */
export async function guidedPrediction(
	unet: Denoiser,
	text: TextEncoder,
	prompts: readonly string[],
	{ guidance, negativePrompt, batch }: Guidance,
): Promise<Predict> {
	const guided = guidance > 1 && !unet.readsGuidance;
	const slots = padded(prompts, batch);
	const states = await textStates(text, [...(guided ? slots.map(() => negativePrompt) : []), ...slots]);
	return async (rows, t, dims) => {
		const slots = padded(rows, batch);
		const output = await unet.predict(joined(guided ? [...slots, ...slots] : slots, dims), t, states, guidance);
		return rows.map((_, i) => (guided ? guide(output, i, batch, guidance) : rowCopy(output, i)));
	};
}

async function textStates(text: TextEncoder, prompts: readonly string[]): Promise<Tensor> {
	const states = await Promise.all(prompts.map((prompt) => text.encode(prompt)));
	return joined(
		states.map((state) => state.data),
		[text.tokens, text.channels],
	);
}

/** Classifier-free guidance (Ho and Salimans 2022): rows 0..n-1 hold the negative prompt, rows n..2n-1 the prompt. */
function guide(output: Tensor, i: number, n: number, scale: number): Float32Array {
	const without = rowCopy(output, i);
	const withPrompt = rowCopy(output, n + i);
	return without.map((u, p) => u + scale * (withPrompt[p] - u));
}
