/** @file The loop that all pipelines share: a batch of noisy samples, step by step, to clean ones. */
import { noisedAgain, type Resampling, visitedPlaces } from "../../schedulers/resampling.ts";
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
	/** RePaint: back up and down again. Without it every step is taken once. */
	resample?: Resampling | undefined;
	onStep(step: BatchStep): void | Promise<void>;
	signal: AbortSignal | undefined;
}

/** Steps that the model is asked for. */
export const stepsOf = (scheduler: Scheduler, resample?: Resampling): number =>
	visitedPlaces(scheduler, resample).filter((place, i, places) => place > places[i - 1]).length;

/** Runs all steps; gives the samples behind the last. Every sample has a loop of its own, so none depends on the others. */
export async function denoise({ scheduler, samples, noise, randoms, predict, known = [], resample, onStep, signal }: Denoising) {
	const { timesteps } = scheduler;
	const places = visitedPlaces(scheduler, resample);
	const draws = () => samples.map((sample, i) => randoms[i].normals(sample.length));
	let loops = samples.map(() => scheduler.start());
	let current = samples;
	for (const [i, place] of places.slice(0, -1).entries()) {
		const next = places[i + 1];
		if (next < place) {
			const again = draws();
			current = current.map((sample, n) => noisedAgain(scheduler, sample, again[n], place));
			loops = samples.map(() => scheduler.start(next));
			continue;
		}
		signal?.throwIfAborted();
		const inputs = current.map((sample) => scheduler.scaleModelInput(sample, place));
		const outputs = await predict(inputs, timesteps[place]);
		const stepNoise = scheduler.needsNoise(place) ? draws() : [];
		const stepped = current.map((sample, n) => loops[n](outputs[n], sample, stepNoise[n]));
		// The known part follows the forward process of the first noise; in RePaint, of new noise at every step.
		const knownNoise = resample ? draws() : noise;
		current = stepped.map((sample, n) => withKnown(sample, known[n], (clean) => noised(scheduler, clean, knownNoise[n], next)));
		await onStep({ timestep: timesteps[place], samples: current });
	}
	return current;
}

const noised = (scheduler: Scheduler, clean: Float32Array, noise: Float32Array, place: number) =>
	place < scheduler.timesteps.length ? scheduler.addNoise(clean, noise, place) : clean;

/** The sample where the mask is above 0.5, what is known elsewhere. */
function withKnown(sample: Float32Array, known: Known | undefined, noised: (clean: Float32Array) => Float32Array): Float32Array {
	if (!known) return sample;
	const { clean, mask } = known;
	const outside = noised(clean);
	return sample.map((v, p) => (mask[p % mask.length] > 0.5 ? v : outside[p]));
}
