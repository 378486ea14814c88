/** @file The contract of every defence that changes the image. */
import type { Region } from "../regions/region.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface PurifierInput {
	/** Names the random stream of this image (design D8). */
	id: string;
	/** `[3, H, W]`, pixels in [0, 1]. */
	image: Tensor;
	/** Objects found in `image`; purifiers that work on the whole image ignore them. */
	regions: readonly Region[];
}

export interface Purified {
	/** `[3, H, W]`, pixels in [0, 1], rounded to 8 bits. */
	image: Tensor;
	/** `[1, H, W]`, 1 where the image was allowed to change, 0 elsewhere. */
	mask: Tensor;
}

export interface PurifyOptions {
	seed: number;
	/** Repetition of a randomised purifier on the same image. */
	repetition?: number;
	/** Called after every step of work with the share done, in [0, 1]. */
	onProgress?: (done: number) => void;
	signal?: AbortSignal;
}

/** Results come in the order of the inputs and do not depend on what else is in the batch. */
export interface Purifier {
	readonly name: string;
	/** Everything that decides the result, printable and serialisable: options and model hashes. */
	readonly options: Readonly<Record<string, unknown>>;
	/** True if `purify` reads `regions`. */
	readonly needsRegions: boolean;
	purify(inputs: readonly PurifierInput[], options: PurifyOptions): Promise<Purified[]>;
	close(): Promise<void>;
}
