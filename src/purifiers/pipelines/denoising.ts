/** @file The loop that all pipelines share: a batch of noisy samples, step by step, to clean ones. */
import type { Scheduler } from "../../schedulers/scheduler.ts";
import type { Random } from "../../tensor/random.ts";

/** A sample of which a part is known. */
export interface Known {
	/** The clean sample that the known part comes from. */
	clean: Float32Array;
	/** Above 0.5 where the sample is made anew; one channel, which holds for all. */
	mask: Float32Array;
}

/** A batch after one of its steps. */
export interface BatchStep {
	/** Timestep that the model was told. */
	timestep: number;
	/** One sample a job; the next step reads them, so they are for looking at only. */
	samples: readonly Float32Array[];
}

export interface Denoising {
	scheduler: Scheduler;
	/** Noisy samples at the first timestep. */
	samples: readonly Float32Array[];
	/** The noise that they were made with. */
	noise: readonly Float32Array[];
	/** One stream a sample, for the noise of the steps. */
	randoms: readonly Random[];
	/** What the model says of all samples at timestep `t`. */
	predict(samples: readonly Float32Array[], t: number): Promise<readonly Float32Array[]>;
	/** What is put back after every step, with the noise of the place that was reached: one entry a sample. */
	known?: readonly (Known | undefined)[];
	onStep(step: BatchStep): void | Promise<void>;
	signal: AbortSignal | undefined;
}

/** Runs all steps; gives the samples behind the last. Every sample has a loop of its own, so none depends on the others. */
export async function denoise({ scheduler, samples, noise, randoms, predict, known = [], onStep, signal }: Denoising) {
	const { timesteps } = scheduler;
	const loops = samples.map(() => scheduler.start());
	const draws = () => samples.map((sample, i) => randoms[i].normals(sample.length));
	let current = samples;
	for (const [place, timestep] of timesteps.entries()) {
		signal?.throwIfAborted();
		const inputs = current.map((sample) => scheduler.scaleModelInput(sample, place));
		const outputs = await predict(inputs, timestep);
		const stepNoise = scheduler.needsNoise(place) ? draws() : [];
		const stepped = current.map((sample, i) => loops[i](outputs[i], sample, stepNoise[i]));
		current = stepped.map((sample, i) => {
			const part = known[i];
			if (!part) return sample;
			// The known part follows the forward process of the first noise.
			return merged(sample, place + 1 < timesteps.length ? scheduler.addNoise(part.clean, noise[i], place + 1) : part.clean, part.mask);
		});
		await onStep({ timestep, samples: current });
	}
	return current;
}

/** `inside` where the mask is above 0.5, `outside` elsewhere. */
function merged(inside: Float32Array, outside: Float32Array, mask: Float32Array): Float32Array {
	return inside.map((v, p) => (mask[p % mask.length] > 0.5 ? v : outside[p]));
}
