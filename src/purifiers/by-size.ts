/** @file Images of several sizes, one size after the other. */
import type { Purified, PurifierInput } from "./purifier.ts";

/** Purifies the images of each size together; results come in the order of the inputs. */
export async function bySize(
	inputs: readonly PurifierInput[],
	onProgress: ((done: number) => void) | undefined,
	purify: (group: readonly PurifierInput[], onProgress: (done: number) => void) => Promise<Purified[]>,
): Promise<Purified[]> {
	const sizes = new Map<string, number[]>();
	for (const [i, { image }] of inputs.entries()) {
		const key = image.dims.join();
		sizes.set(key, [...(sizes.get(key) ?? []), i]);
	}
	const results: Purified[] = [];
	let finished = 0;
	for (const indices of sizes.values()) {
		const group = indices.map((i) => inputs[i]);
		const purified = await purify(group, (done) => onProgress?.((finished + done * group.length) / inputs.length));
		for (const [n, i] of indices.entries()) results[i] = purified[n];
		finished += group.length;
	}
	return results;
}
