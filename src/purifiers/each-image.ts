/** @file Purifiers that change every image by itself, without regions and without chance. */
import type { Tensor } from "../tensor/tensor.ts";
import type { Purified, Purifier } from "./purifier.ts";

export interface ImageChange {
	change(image: Tensor): Purified | Promise<Purified>;
	close?: () => Promise<void>;
}

/** A purifier from a change of one image. */
export function eachImage(name: string, options: Readonly<Record<string, unknown>>, { change, close }: ImageChange): Purifier {
	return {
		name,
		options,
		needsRegions: false,
		async purify(inputs, { onProgress, signal }) {
			const results: Purified[] = [];
			for (const { image } of inputs) {
				signal?.throwIfAborted();
				results.push(await change(image));
				onProgress?.(results.length / inputs.length);
			}
			return results;
		},
		close: async () => close?.(),
	};
}
