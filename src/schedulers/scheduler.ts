/** @file What a sampler is, and which there are. Names as in diffusers. */
import { readFile } from "node:fs/promises";
import { KintsugiError } from "../errors.ts";
import { ddim } from "./ddim.ts";
import { ddpm } from "./ddpm.ts";
import { dpmSolverMultistep } from "./dpm-solver-multistep.ts";
import { eulerDiscrete } from "./euler.ts";
import { eulerAncestralDiscrete } from "./euler-ancestral.ts";
import { lcm } from "./lcm.ts";
import type { SchedulerClass } from "./loop.ts";
import type { NoiseScheduleConfig } from "./noise-schedule.ts";
import { pndm } from "./pndm.ts";
import { vpSde } from "./vp-sde.ts";

/**
 * The next step of one sample: from the model's output to the sample at the next place. Results are new arrays. An output twice as long as
 * the sample has the learned variance in its second half; only DDPM's "learned_range" reads it.
 */
export type Step = (modelOutput: Float32Array, sample: Float32Array, noise?: Float32Array) => Float32Array;

/** A sampler set up for one loop. `i` is a place in `timesteps`. Samples, noise and what models predict are flat arrays of equal length. */
export interface Scheduler {
	readonly name: string;
	readonly config: NoiseScheduleConfig;
	/** What the model is told, falling; Euler's can be fractional, and PNDM's repeat themselves. */
	readonly timesteps: readonly number[];
	/** Standard deviation of the noise that a loop from pure noise starts with. */
	readonly initNoiseSigma: number;
	/** Whether step `i` needs noise. */
	needsNoise(i: number): boolean;
	/** What the model is shown instead of the sample. */
	scaleModelInput(sample: Float32Array, i: number): Float32Array;
	/** The forward process: the clean sample with the noise of place `i`. */
	addNoise(sample: Float32Array, noise: Float32Array, i: number): Float32Array;
	/**
	 * A loop over one sample, from place `from` (default 0) on: multistep samplers remember its outputs, so every sample has a loop of
	 * its own. Call it once a step.
	 */
	start(from?: number): Step;
}

export interface LoopOptions {
	/** A number of steps over the whole trained range, or the timesteps themselves, falling. */
	steps: number | readonly number[];
	/** Below 1 the loop starts from a noised image, with that share of the steps (image to image, inpainting). */
	strength?: number;
	/** DDIM only: 0 is deterministic, 1 as noisy as DDPM. */
	eta?: number;
	/** Euler only: noise added in every step with a sigma from `s_tmin` to `s_tmax`, `s_noise` times as much as fits. */
	s_churn?: number;
	s_tmin?: number;
	s_tmax?: number;
	s_noise?: number;
}

/** Makes the scheduler of a configuration for one loop. Throws `value` for steps and strengths that it cannot do. */
export type SchedulerFactory = (options: LoopOptions) => Scheduler;

const SCHEDULERS = {
	DDIMScheduler: ddim,
	DDPMScheduler: ddpm,
	PNDMScheduler: pndm,
	EulerDiscreteScheduler: eulerDiscrete,
	EulerAncestralDiscreteScheduler: eulerAncestralDiscrete,
	DPMSolverMultistepScheduler: dpmSolverMultistep,
	LCMScheduler: lcm,
	VPSDE: vpSde,
} as const satisfies Readonly<Record<string, SchedulerClass>>;

/** Class names, as in `_class_name`. */
export type SchedulerName = keyof typeof SCHEDULERS;

const KNOWN_FIELDS: ReadonlySet<string> = new Set(Object.values(SCHEDULERS).flatMap((scheduler) => scheduler.fields));

/**
 * The scheduler of a parsed scheduler_config.json; `as` replaces the class, as `from_config` does in diffusers. Like there, fields
 * that only other classes read are left alone (published files are full of them), and so are notes, which begin with "_".
 * Throws `config` for unknown classes, for fields that no class knows and for values that are not supported.
 */
export function schedulerFromConfig(json: Record<string, unknown>, where: string, as?: SchedulerName): SchedulerFactory {
	const name = as ?? json._class_name;
	if (typeof name !== "string" || !Object.hasOwn(SCHEDULERS, name)) {
		throw new KintsugiError("config", {
			where,
			expected: `_class_name: ${Object.keys(SCHEDULERS).join(" or ")}`,
			found: JSON.stringify(name) ?? "none",
			fix: "use a model with one of these schedulers, or name one in its place",
		});
	}
	const scheduler: SchedulerClass = SCHEDULERS[name as SchedulerName];
	const ofOthers = (field: string) => KNOWN_FIELDS.has(field) && !scheduler.fields.includes(field);
	const fields = Object.entries(json).filter(([field]) => !field.startsWith("_") && !ofOthers(field));
	return scheduler.open(Object.fromEntries(fields), where);
}

/** Reads scheduler_config.json. Python writes an infinite `lambda_min_clipped` as -Infinity, which JSON does not have. */
export async function readSchedulerConfig(path: string): Promise<Record<string, unknown>> {
	try {
		const text = await readFile(path, "utf8");
		return JSON.parse(text.replace(/(:\s*)-Infinity\b/g, "$1-1e999")) as Record<string, unknown>;
	} catch (cause) {
		const parts = { where: path, expected: "scheduler_config.json", found: `${cause}`, fix: "check the model's folder" };
		throw new KintsugiError("model", parts, { cause });
	}
}
