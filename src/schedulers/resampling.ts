/** @file RePaint: a loop that goes back up and down again, so that what is painted and what is known agree (Lugmayr et al. 2022). */
import { KintsugiError } from "../errors.ts";
import type { Scheduler } from "./scheduler.ts";

export interface Resampling {
	/** Steps of a jump back. */
	jumpLength: number;
	/** How often every stretch is painted. */
	jumpSamples: number;
}

/** Of the paper, for 250 steps. */
export const RESAMPLING: Resampling = { jumpLength: 10, jumpSamples: 10 };

/**
 * The places that a loop of `steps` steps visits, from 0 (noise) to `steps` (clean); neighbours differ by one. After every `jumpLength`
 * steps, counted from the end, the loop goes back by as many, `jumpSamples - 1` times. Throws `value` where there is no room for a jump.
 */
export function resampledPlaces(steps: number, { jumpLength, jumpSamples }: Resampling): number[] {
	if (jumpSamples > 1 && jumpLength >= steps) {
		throw new KintsugiError("value", {
			where: "resample",
			expected: "jumps shorter than the loop",
			found: `jumpLength = ${jumpLength}, ${steps} steps`,
			fix: "choose shorter jumps or more steps",
		});
	}
	const left = new Map<number, number>();
	for (let end = steps; end > jumpLength; end -= jumpLength) left.set(end, jumpSamples - 1);
	const places = [0];
	for (let place = 0; place < steps; ) {
		places.push(++place);
		const jumps = left.get(place) ?? 0;
		if (jumps === 0) continue;
		left.set(place, jumps - 1);
		for (let k = 0; k < jumpLength; k++) places.push(--place);
	}
	return places;
}

/** The places of a loop with or without resampling. PNDM, which needs its first steps in a row, is refused. */
export function visitedPlaces({ name, timesteps }: Scheduler, resample?: Resampling): number[] {
	if (!resample) return [0, ...timesteps.map((_, i) => i + 1)];
	if (name !== "PNDMScheduler") return resampledPlaces(timesteps.length, resample);
	throw new KintsugiError("value", {
		where: "resample",
		expected: "a scheduler that can start at any step",
		found: name,
		fix: "choose another scheduler, such as DDIM",
	});
}

/**
 * The forward process from `place` to the one before: noise is added until there is as much of it as the scheduler has at `place - 1`.
 * With samples A x + B noise at every place, that is x' = r x + sqrt(B'^2 - (r B)^2) noise, r = A' / A.
 */
export function noisedAgain(scheduler: Scheduler, sample: Float32Array, noise: Float32Array, place: number): Float32Array {
	const [now, before] = [scalesAt(scheduler, place), scalesAt(scheduler, place - 1)];
	const ratio = before.signal / now.signal;
	const deviation = Math.sqrt(Math.max(0, before.noise ** 2 - (ratio * now.noise) ** 2));
	return sample.map((x, i) => ratio * x + deviation * noise[i]);
}

/** A and B, from what `addNoise` makes of 1 and 0. The place behind the last is the clean sample. */
function scalesAt(scheduler: Scheduler, place: number): { signal: number; noise: number } {
	if (place === scheduler.timesteps.length) return { signal: 1, noise: 0 };
	const at = (sample: number, noise: number) => scheduler.addNoise(Float32Array.of(sample), Float32Array.of(noise), place)[0];
	return { signal: at(1, 0), noise: at(0, 1) };
}
