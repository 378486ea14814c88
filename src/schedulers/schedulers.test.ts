/** @file Full denoising loops against diffusers (test/golden/make_diffusers.py and schedulers.py), and what is refused. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { type LoopOptions, type Step, schedulerFromConfig } from "./scheduler.ts";

interface Case extends LoopOptions {
	scheduler: string;
	config: Record<string, unknown>;
	timesteps: number[];
	initNoiseSigma?: number;
	noised: number[];
	trace: number[][];
}

const { start, noise, cases }: { start: number[]; noise: number[][]; cases: Case[] } = JSON.parse(
	readFileSync(golden("schedulers.json"), "utf8"),
);

/** The largest difference, relative where the values are above 1: sigma starts at up to 4096. */
const largestDifference = (a: Float32Array, b: readonly number[]) =>
	Math.max(...b.map((v, i) => Math.abs(a[i] - v) / Math.max(1, Math.abs(v))));

const f32 = Math.fround;

/** The stand-in of schedulers.py, rounded to float32 where PyTorch rounds it. */
const model = (input: Float32Array, t: number) =>
	input.map((x) => f32(f32(0.9) * x) + f32(f32(0.2) * f32(Math.sin(f32(f32(2 * x) + f32(t / 100))))));

const titled = cases.map((c) => {
	const { scheduler, config, steps, timesteps: _t, initNoiseSigma: _s, noised: _n, trace: _r, ...options } = c;
	return [`${scheduler} ${JSON.stringify({ ...config, steps, ...options })}`, c] as const;
});

describe.each(titled)("%s", (_, c) => {
	const { scheduler: name, config, timesteps, initNoiseSigma = 1, noised, trace, ...options } = c;
	const scheduler = schedulerFromConfig({ _class_name: name, ...config }, "test")(options);

	test("visits the same timesteps from the same noise level", () => {
		scheduler.timesteps.forEach((t, i) => {
			expect(t).toBeCloseTo(timesteps[i], 3);
		});
		expect(scheduler.timesteps).toHaveLength(timesteps.length);
		expect(scheduler.initNoiseSigma / initNoiseSigma).toBeCloseTo(1, 6);
	});

	test("adds the same noise", () => {
		expect(largestDifference(scheduler.addNoise(Float32Array.from(start), Float32Array.from(noise[0]), 0), noised)).toBeLessThan(1e-6);
	});

	test("is at the same sample after every step", () => {
		const step = scheduler.start();
		const fromNoise = (options.strength ?? 1) === 1 && name !== "VPSDE";
		let sample = Float32Array.from(fromNoise ? start.map((x) => Math.fround(x * scheduler.initNoiseSigma)) : noised);
		const differences = scheduler.timesteps.map((t, i) => {
			const input = scheduler.scaleModelInput(sample, i);
			const learned = config.variance_type === "learned_range" ? input.map((x) => Math.sin(f32(3 * x))) : [];
			const output = Float32Array.from([...model(input, t), ...learned]);
			const draw = scheduler.needsNoise(i) ? Float32Array.from(noise[i + 1]) : undefined;
			sample = Float32Array.from(step(output, sample, draw));
			return largestDifference(sample, trace[i]);
		});
		expect(Math.max(...differences)).toBeLessThan(1e-5);
	});
});

interface OldCase extends LoopOptions {
	scheduler: "ddim" | "ddpm";
	config: Record<string, unknown>;
	timesteps: number[];
	start: number[];
	noise: number[][];
	noised: number[];
	result: number[];
}

const long: OldCase[] = JSON.parse(readFileSync(golden("diffusers/schedulers.json"), "utf8"));

describe.each(long)(
	"$scheduler $config, $steps steps",
	({ scheduler: name, config, timesteps, start, noise, noised, result, ...options }) => {
		const json = { _class_name: `${name.toUpperCase()}Scheduler`, ...config };
		const scheduler = schedulerFromConfig(json, "test")(options);

		test("visits the same timesteps and adds the same noise", () => {
			expect(scheduler.timesteps).toEqual(timesteps);
			expect(largestDifference(scheduler.addNoise(Float32Array.from(start), Float32Array.from(noise[0]), 0), noised)).toBeLessThan(1e-6);
		});

		test("ends at the same sample", () => {
			const step = scheduler.start();
			let sample = Float32Array.from(start);
			for (const [i, t] of timesteps.entries()) {
				const output = sample.map((x) => Math.sin(x + t / 100) / 2);
				sample = Float32Array.from(step(output, sample, scheduler.needsNoise(i) ? Float32Array.from(noise[i]) : undefined));
			}
			expect(largestDifference(sample, result)).toBeLessThan(1e-5);
		});
	},
);

test("two loops of one scheduler do not disturb each other", () => {
	const scheduler = schedulerFromConfig({ _class_name: "DPMSolverMultistepScheduler" }, "test")({ steps: 4 });
	const run = (step: Step, x: number) => (n: number) => step(Float32Array.of(x * n), Float32Array.of(x));
	const alone = run(scheduler.start(), 1);
	const expected = [1, 2, 3, 4].map(alone);
	const [first, second] = [run(scheduler.start(), 1), run(scheduler.start(), -3)];
	const interleaved = [1, 2, 3, 4].map((n) => [first(n), second(n)][0]);
	expect(interleaved).toEqual(expected);
});

test("the learned variance in the second half of an output: read by DDPM's learned_range, by no other", () => {
	const x = Float32Array.of(0.3, -0.2);
	const [alone, company] = [Float32Array.of(0.1, 0.7), Float32Array.of(0.1, 0.7, 0.9, -0.9)];
	const after = (fields: Record<string, unknown>, output: Float32Array) =>
		schedulerFromConfig({ _class_name: "DDPMScheduler", ...fields }, "test")({ steps: [500, 20] }).start()(output, x, x);
	for (const _class_name of ["DDPMScheduler", "DDIMScheduler", "VPSDE", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"]) {
		expect(after({ _class_name }, company)).toEqual(after({ _class_name }, alone));
	}
	const learned = { variance_type: "learned_range" };
	expect(after(learned, company)).not.toEqual(after({}, alone));
	expect(() => after(learned, alone)).toThrowError(/a second half, the variance/);
	expect(() => after({}, Float32Array.of(1))).toThrowError(/a model output of 2 or 4 numbers, found 1/);
});
