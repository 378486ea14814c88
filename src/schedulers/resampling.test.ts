/** @file RePaint against RePaintScheduler of diffusers (test/golden/pipelines.py). */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { random } from "../tensor/random.ts";
import { noisedAgain, RESAMPLING, resampledPlaces, visitedPlaces } from "./resampling.ts";
import { type SchedulerName, schedulerFromConfig } from "./scheduler.ts";

interface Jumps {
	jump_length?: number;
	jump_n_sample?: number;
}
const { schedules }: { schedules: (Jumps & { steps: number; levels: number[] })[] } = JSON.parse(
	readFileSync(golden("pipelines/repaint.json"), "utf8"),
);

const resampling = ({ jump_length: jumpLength = RESAMPLING.jumpLength, jump_n_sample: jumpSamples = RESAMPLING.jumpSamples }: Jumps) => ({
	jumpLength,
	jumpSamples,
});

test.each(schedules)(
	"$steps steps, jumps of $jump_length, $jump_n_sample times: the places of RePaintScheduler",
	({ steps, levels, ...jumps }) => {
		// Level n of diffusers is n steps from the clean sample.
		expect(resampledPlaces(steps, resampling(jumps))).toEqual([0, ...levels.map((level) => steps - level)]);
	},
);

test.each(["DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "LCMScheduler"] as const)(
	"%s: noise that was added again makes the marginal of the place before",
	(name: SchedulerName) => {
		const scheduler = schedulerFromConfig({ num_train_timesteps: 1000 }, "test", name)({ steps: 10 });
		const n = 20000;
		const [clean, first, again] = ["clean", "first", "again"].map((key) => random(1, key).normals(n));
		for (const place of [10, 7, 1]) {
			const start = place === 10 ? clean : scheduler.addNoise(clean, first, place);
			const raised = noisedAgain(scheduler, start, again, place);
			const direct = scheduler.addNoise(clean, first, place - 1);
			const power = (x: Float32Array) => x.reduce((sum, v) => sum + v * v, 0) / n;
			const signal = (x: Float32Array) => x.reduce((sum, v, i) => sum + v * clean[i], 0) / n;
			const scale = Math.max(1, Math.sqrt(power(direct)));
			expect(Math.abs(power(raised) / power(direct) - 1)).toBeLessThan(0.05);
			expect(Math.abs(signal(raised) - signal(direct)) / scale).toBeLessThan(0.05);
		}
	},
);

describe("refuses", () => {
	test("jumps that are no shorter than the loop", () => {
		expect(() => resampledPlaces(10, RESAMPLING)).toThrow(/jumpLength = 10, 10 steps/);
		expect(resampledPlaces(3, { jumpLength: 3, jumpSamples: 1 })).toEqual([0, 1, 2, 3]);
	});

	test("PNDM", () => {
		const pndm = schedulerFromConfig({ skip_prk_steps: true }, "test", "PNDMScheduler")({ steps: 10 });
		expect(() => visitedPlaces(pndm, { jumpLength: 2, jumpSamples: 2 })).toThrow(/PNDMScheduler/);
	});
});
