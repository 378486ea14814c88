/** @file Scheduler files as published checkpoints have them, and what is refused by name. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSchedulerConfig, type SchedulerName, schedulerFromConfig } from "./scheduler.ts";

const STABLE = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear", num_train_timesteps: 1000, trained_betas: null };
const OLD_FILE = { ...STABLE, clip_sample: false, set_alpha_to_one: false, skip_prk_steps: true, steps_offset: 1 };

const PUBLISHED: Record<string, Record<string, unknown>> = {
	"Stable Diffusion 1.5": { _class_name: "PNDMScheduler", _diffusers_version: "0.6.0", ...OLD_FILE },
	"Stable Diffusion 1.5 inpainting": { _class_name: "DDIMScheduler", _diffusers_version: "0.6.0.dev0", ...OLD_FILE },
	"Stable Diffusion 2 inpainting": { _class_name: "PNDMScheduler", ...OLD_FILE, prediction_type: "epsilon" },
	"Stable Diffusion 2.1": { _class_name: "DDIMScheduler", ...OLD_FILE, prediction_type: "v_prediction" },
	"sd-turbo": {
		_class_name: "EulerDiscreteScheduler",
		...OLD_FILE,
		interpolation_type: "linear",
		prediction_type: "epsilon",
		sample_max_value: 1,
		sigma_max: null,
		sigma_min: null,
		timestep_spacing: "trailing",
		timestep_type: "discrete",
		use_karras_sigmas: false,
	},
	LCM_Dreamshaper: {
		_class_name: "LCMScheduler",
		...STABLE,
		clip_sample: false,
		clip_sample_range: 1,
		dynamic_thresholding_ratio: 0.995,
		original_inference_steps: 50,
		prediction_type: "epsilon",
		rescale_betas_zero_snr: false,
		sample_max_value: 1,
		set_alpha_to_one: true,
		steps_offset: 0,
		thresholding: false,
		timestep_scaling: 10,
		timestep_spacing: "leading",
	},
	"ddpm-cifar10-32": {
		_class_name: "DDPMScheduler",
		beta_end: 0.02,
		beta_schedule: "linear",
		beta_start: 0.0001,
		clip_sample: true,
		num_train_timesteps: 1000,
		trained_betas: null,
		variance_type: "fixed_large",
	},
};

const open = (name: string, as?: SchedulerName) => schedulerFromConfig(PUBLISHED[name], name, as);

describe("published files", () => {
	test.each([
		["Stable Diffusion 1.5", 5, [801, 601, 601, 401, 201, 1], 1],
		["Stable Diffusion 1.5 inpainting", 5, [801, 601, 401, 201, 1], 1],
		["Stable Diffusion 2 inpainting", 4, [751, 501, 501, 251, 1], 1],
		["Stable Diffusion 2.1", 4, [751, 501, 251, 1], 1],
		["sd-turbo", 1, [999], 14.6146],
		["sd-turbo", 4, [999, 749, 499, 249], 14.6146],
		["LCM_Dreamshaper", 4, [999, 759, 499, 259], 1],
		["ddpm-cifar10-32", 4, [750, 500, 250, 0], 1],
	])("%s, %d steps", (name, steps, timesteps, sigma) => {
		const scheduler = open(name)({ steps });
		expect(scheduler.name).toBe(PUBLISHED[name]._class_name);
		expect(scheduler.timesteps).toEqual(timesteps);
		expect(scheduler.initNoiseSigma).toBeCloseTo(sigma, 3);
	});

	const classes: SchedulerName[] = ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "LCMScheduler"];
	classes.push("EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler");

	test.each(Object.keys(PUBLISHED).flatMap((name) => classes.map((as) => [name, as] as const)))("%s as %s", (name, as) => {
		// As the inpainting pipelines do: without a warm-up, PNDM can start anywhere.
		const scheduler = schedulerFromConfig({ ...PUBLISHED[name], skip_prk_steps: true }, name, as)({ steps: 4, strength: 0.5 });
		expect(scheduler.name).toBe(as);
		expect(scheduler.timesteps[0]).toBeLessThan(760);
	});

	test("a file by Python's json, with an infinite lambda_min_clipped", async () => {
		const folder = await mkdtemp(join(tmpdir(), "kintsugi-scheduler-"));
		const path = join(folder, "scheduler_config.json");
		await writeFile(path, '{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "flow_shift": 1.0}');
		const json = await readSchedulerConfig(path);
		await rm(folder, { recursive: true });
		expect(json.lambda_min_clipped).toBe(Number.NEGATIVE_INFINITY);
		expect(schedulerFromConfig(json, path)({ steps: 2 }).timesteps).toEqual([999, 500]);
	});
});

describe("strength", () => {
	test.each([
		["Stable Diffusion 1.5 inpainting", 10, 0.35, [201, 101, 1]],
		["Stable Diffusion 1.5", 10, 0.3, [301, 201, 101, 1]],
		["sd-turbo", 2, 0.5, [499]],
		["LCM_Dreamshaper", 4, 0.5, [499, 379, 259, 139]],
	])("%s, %d steps at %d", (name, steps, strength, timesteps) => {
		expect(open(name)({ steps, strength }).timesteps).toEqual(timesteps);
	});

	test("too little for one step, and more than 1", () => {
		expect(() => open("sd-turbo")({ steps: 2, strength: 0.4 })).toThrowError(/strength.*0\.5 \(one of 2 steps\)/);
		expect(() => open("sd-turbo")({ steps: 2, strength: 1.1 })).toThrowError(/strength/);
		expect(() => open("LCM_Dreamshaper")({ steps: 4, strength: 0.05 })).toThrowError(/original_inference_steps/);
	});
});

describe("refuses", () => {
	const make = (fields: Record<string, unknown>) =>
		schedulerFromConfig({ _class_name: "DDIMScheduler", ...fields }, "scheduler_config.json");
	const dpm = { _class_name: "DPMSolverMultistepScheduler" };
	const karras = { use_karras_sigmas: true };

	test.each([
		[{ _class_name: "HeunDiscreteScheduler" }, /DDIMScheduler or DDPMScheduler.*HeunDiscreteScheduler/],
		[{ _class_name: undefined }, /_class_name.*none/],
		[{ beta_schedule: "laplace" }, /beta_schedule.*laplace/],
		[{ surprise: 1 }, /surprise/],
		[{ prediction_type: "flow_prediction" }, /prediction_type/],
		[{ _class_name: "DDPMScheduler", variance_type: "learned" }, /variance_type.*learned/],
		[{ _class_name: "PNDMScheduler", prediction_type: "sample" }, /prediction_type/],
		[{ _class_name: "PNDMScheduler", rescale_betas_zero_snr: true }, /rescale_betas_zero_snr/],
		[{ _class_name: "EulerAncestralDiscreteScheduler", prediction_type: "sample" }, /prediction_type/],
		[{ ...dpm, use_flow_sigmas: true }, /use_flow_sigmas/],
		[{ ...dpm, variance_type: "fixed_small_log" }, /variance_type/],
		[{ ...dpm, algorithm_type: "dpmsolver" }, /final_sigmas_type/],
		[{ ...dpm, algorithm_type: "sde-dpmsolver", final_sigmas_type: "sigma_min", solver_order: 3 }, /solver_order/],
		[{ ...dpm, solver_order: 4 }, /solver_order/],
		[{ _class_name: "VPSDE", beta_schedule: "scaled_linear" }, /beta_schedule/],
	])("%j", (fields, message) => {
		expect(() => make(fields)).toThrowError(message);
	});

	test("two spacings of sigmas at once, and timesteps where sigmas are spaced", () => {
		const both = make({ ...dpm, ...karras, use_beta_sigmas: true });
		expect(() => both({ steps: 4 })).toThrowError(/at most one of use_karras_sigmas/);
		expect(() => make({ ...dpm, ...karras })({ steps: [500, 20] })).toThrowError(/a number of steps/);
	});

	test("loops that cannot be: too many steps, rising timesteps, PNDM's warm-up cut short", () => {
		expect(() => make({})({ steps: 1001 })).toThrowError(/1 to 1000/);
		expect(() => make({})({ steps: [1, 2] })).toThrowError(/falling/);
		const pndm = make({ _class_name: "PNDMScheduler" });
		expect(() => pndm({ steps: 3 })).toThrowError(/at least 4 steps/);
		expect(() => pndm({ steps: 8, strength: 0.5 })).toThrowError(/skip_prk_steps/);
		expect(() => pndm({ steps: [500, 20] })).toThrowError(/a number of steps/);
	});

	test("a step without its noise, and one behind the last", () => {
		const step = make({})({ steps: 1, eta: 1 }).start();
		const x = new Float32Array(1);
		expect(() => step(x, x)).toThrowError(/noise/);
		step(x, x, x);
		expect(() => step(x, x, x)).toThrowError(/one more/);
	});
});
