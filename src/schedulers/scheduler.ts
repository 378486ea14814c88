/** @file What a sampler is: the timesteps it visits, and the step between two of them. Names as in diffusers. */
import { readFile } from "node:fs/promises";
import { KintsugiError } from "../errors.ts";
import { ddim } from "./ddim.ts";
import { ddpm } from "./ddpm.ts";
import type { NoiseScheduleConfig } from "./noise-schedule.ts";

/** A sampler set up for one loop. Samples, noise and model outputs are flat arrays of equal length. */
export interface Scheduler {
	readonly name: string;
	readonly config: NoiseScheduleConfig;
	/** Falling. */
	readonly timesteps: readonly number[];
	/** Whether `step` needs noise at this timestep. */
	needsNoise(t: number): boolean;
	/** The sample at the timestep after `t`, from the model's output at `t`. */
	step(modelOutput: Float32Array, t: number, sample: Float32Array, noise?: Float32Array): Float32Array;
	/** The forward process: the clean sample with the noise of timestep `t`. */
	addNoise(sample: Float32Array, noise: Float32Array, t: number): Float32Array;
}

export interface LoopOptions {
	/** A number of steps over the whole trained range, or the timesteps themselves, falling. */
	steps: number | readonly number[];
	/** DDIM only: 0 is deterministic, 1 as noisy as DDPM. */
	eta?: number;
}

/** Makes the scheduler of a configuration for one loop. */
export type SchedulerFactory = (options: LoopOptions) => Scheduler;

const SCHEDULERS = { DDIMScheduler: ddim, DDPMScheduler: ddpm } as const;

/** Class names, as in `_class_name`. */
export type SchedulerName = keyof typeof SCHEDULERS;

/**
 * The scheduler of a parsed scheduler_config.json; `as` replaces the class, as `from_config` does in diffusers.
 * Throws `config` for unknown classes and for values that are not supported.
 */
export function schedulerFactory(json: Record<string, unknown>, where: string, as?: SchedulerName): SchedulerFactory {
	const name = as ?? json._class_name;
	if (typeof name !== "string" || !Object.hasOwn(SCHEDULERS, name)) {
		throw new KintsugiError("config", {
			where,
			expected: `_class_name: ${Object.keys(SCHEDULERS).join(" or ")}`,
			found: JSON.stringify(name) ?? "none",
			fix: "use a model with one of these schedulers, or name one in its place",
		});
	}
	return SCHEDULERS[name as SchedulerName](json, where);
}

/** Reads scheduler_config.json. */
export async function readSchedulerConfig(path: string): Promise<Record<string, unknown>> {
	try {
		return JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
	} catch (cause) {
		const parts = { where: path, expected: "scheduler_config.json", found: `${cause}`, fix: "check the model's folder" };
		throw new KintsugiError("model", parts, { cause });
	}
}
