/** @file Full denoising loops against diffusers (test/golden/make_diffusers.py), and what is refused. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { schedulerFactory } from "./scheduler.ts";

interface Case {
	scheduler: "ddim" | "ddpm";
	config: Record<string, unknown>;
	steps: number | number[];
	eta?: number;
	timesteps: number[];
	start: number[];
	noise: number[][];
	noised: number[];
	result: number[];
}

const CLASSES = { ddim: "DDIMScheduler", ddpm: "DDPMScheduler" } as const;
const cases: Case[] = JSON.parse(readFileSync(golden("diffusers/schedulers.json"), "utf8"));

const largestDifference = (a: Float32Array, b: readonly number[]) => Math.max(...b.map((v, i) => Math.abs(a[i] - v)));

describe.each(cases)("$scheduler $config, $steps steps", (c) => {
	const scheduler = schedulerFactory(
		{ _class_name: CLASSES[c.scheduler], ...c.config },
		"test",
	)({
		steps: c.steps,
		...(c.eta === undefined ? {} : { eta: c.eta }),
	});

	test("visits the same timesteps", () => {
		expect(scheduler.timesteps).toEqual(c.timesteps);
	});

	test("adds the same noise", () => {
		const noised = scheduler.addNoise(Float32Array.from(c.start), Float32Array.from(c.noise[0]), c.timesteps[0]);
		expect(largestDifference(noised, c.noised)).toBeLessThan(1e-6);
	});

	test("ends at the same sample", () => {
		let sample = Float32Array.from(c.start);
		scheduler.timesteps.forEach((t, i) => {
			const output = sample.map((x) => Math.sin(x + t / 100) / 2);
			const noise = scheduler.needsNoise(t) ? Float32Array.from(c.noise[i]) : undefined;
			sample = Float32Array.from(scheduler.step(output, t, sample, noise));
		});
		expect(largestDifference(sample, c.result)).toBeLessThan(1e-5);
	});
});

describe("refuses", () => {
	const make = (fields: Record<string, unknown>) => schedulerFactory({ _class_name: "DDIMScheduler", ...fields }, "scheduler_config.json");
	test.each([
		[{ _class_name: "PNDMScheduler" }, /DDIMScheduler or DDPMScheduler.*PNDMScheduler/],
		[{ thresholding: true }, /thresholding/],
		[{ beta_schedule: "laplace" }, /beta_schedule.*laplace/],
		[{ surprise: 1 }, /surprise/],
	])("%j", (fields, message) => {
		expect(() => make(fields)).toThrowError(message);
	});
	test("more steps than were trained, rising timesteps, a step outside the loop, missing noise", () => {
		expect(() => make({})({ steps: 1001 })).toThrowError(/1 to 1000/);
		expect(() => make({})({ steps: [1, 2] })).toThrowError(/falling/);
		const scheduler = make({})({ steps: 10, eta: 1 });
		const x = new Float32Array(1);
		expect(() => scheduler.step(x, 1, x)).toThrowError(/one of the timesteps/);
		expect(() => scheduler.step(x, 900, x)).toThrowError(/noise/);
	});
});
