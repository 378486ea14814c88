/** @file The shared loop: RePaint against RePaintScheduler of diffusers with a stand-in model (test/golden/pipelines.py). */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { schedulerFromConfig } from "../../schedulers/scheduler.ts";
import { random } from "../../tensor/random.ts";
import { denoise, stepsOf } from "./denoising.ts";

interface Loop {
	config: Record<string, unknown>;
	jump_length: number;
	jump_n_sample: number;
	image: number[];
	mask: number[];
	draws: number[][];
	trace: number[][];
}
const { loops }: { loops: Loop[] } = JSON.parse(readFileSync(golden("pipelines/repaint.json"), "utf8"));

test.each(loops)("jumps of $jump_length, $jump_n_sample times, $config: every step of RePaintPipeline", async (loop) => {
	const scheduler = schedulerFromConfig(loop.config, "test", "DDIMScheduler")({ steps: 12 });
	const draws = loop.draws.map((values) => Float32Array.from(values));
	const noise = draws.shift() as Float32Array;
	const resample = { jumpLength: loop.jump_length, jumpSamples: loop.jump_n_sample };
	const seen: Float32Array[] = [];
	const [result] = await denoise({
		scheduler,
		samples: [noise],
		noise: [noise],
		randoms: [{ ...random(0), normals: () => draws.shift() as Float32Array }],
		predict: async (samples, t) => samples.map((sample) => sample.map((x) => Math.sin(x + t / 100) / 2)),
		known: [{ clean: Float32Array.from(loop.image), mask: Float32Array.from(loop.mask) }],
		resample,
		onStep: ({ samples }) => void seen.push(samples[0]),
		signal: undefined,
	});
	expect(draws).toHaveLength(0);
	expect(seen).toHaveLength(stepsOf(scheduler, resample));
	expect(seen).toHaveLength(loop.trace.length);
	const differences = seen.flatMap((sample, i) => Array.from(sample, (v, n) => Math.abs(v - loop.trace[i][n])));
	expect(Math.max(...differences)).toBeLessThan(1e-5);
	expect(result).toEqual(seen.at(-1));
});
