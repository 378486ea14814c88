/** @file What every pipeline does with a list of jobs: batches of one size, progress over all of them, cancellation. */
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { groups } from "./batches.ts";
import type { BatchStep } from "./denoising.ts";

/** One step of one batch of a pipeline's call. */
export interface StepReport {
	/** Steps taken so far, this one included. */
	step: number;
	/** Steps of the whole call, all batches together. */
	of: number;
	/** Timestep that the model was told. */
	timestep: number;
	/** Places of the batch's jobs in the list that was given. */
	jobs: readonly number[];
	/** One `[C, h, w]` a job of the batch, as the step left it: latents, or pixels in [-1, 1]. Read only: the next step starts from them. */
	latents: readonly Tensor[];
}

/** How a call of a pipeline is watched and stopped. */
export interface RunOptions {
	/** Called after every denoising step, with the share of the work done. */
	onProgress?: ((done: number) => void) | undefined;
	/** Called after every denoising step; the pipeline waits for it. */
	onStep?: ((report: StepReport) => void | Promise<void>) | undefined;
	/** Looked at before every step, and before images are encoded and decoded. */
	signal?: AbortSignal | undefined;
}

export interface Batch<J> {
	jobs: readonly J[];
	/** Reports one of the `steps`; samples have the dims `[C, h, w]`. */
	onStep(step: BatchStep, dims: readonly number[]): Promise<void>;
}

/** Runs jobs in batches of at most `size`, each of images of one size; results in the order of the jobs. */
export async function runBatches<J extends { image: Tensor }>(
	jobs: readonly J[],
	{ size, steps, run }: { size: number; steps: number; run(batch: Batch<J>): Promise<readonly Tensor[]> },
	{ onProgress, onStep }: RunOptions,
): Promise<Tensor[]> {
	const batches = placesBySize(jobs).flatMap((places) => groups(places, size));
	const of = batches.length * steps;
	const results: Tensor[] = [];
	let step = 0;
	for (const places of batches) {
		const images = await run({
			jobs: places.map((i) => jobs[i]),
			async onStep({ timestep, samples }, dims) {
				step++;
				await onStep?.({ step, of, timestep, jobs: places, latents: samples.map((sample) => tensor(sample, dims)) });
				onProgress?.(step / of);
			},
		});
		for (const [n, i] of places.entries()) results[i] = images[n];
	}
	return results;
}

function placesBySize(jobs: readonly { image: Tensor }[]): number[][] {
	const sizes = new Map<string, number[]>();
	for (const [i, { image }] of jobs.entries()) {
		const key = image.dims.join();
		sizes.set(key, [...(sizes.get(key) ?? []), i]);
	}
	return [...sizes.values()];
}
