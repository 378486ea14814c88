/** @file Helpers of the schedulers: a class from its configuration's schema, one loop from its parts. */
import type { z } from "zod";
import { KintsugiError } from "../errors.ts";
import type { NoiseScheduleConfig } from "./noise-schedule.ts";
import type { LoopOptions, Scheduler, SchedulerFactory } from "./scheduler.ts";
import { falling, inferenceTimesteps, skipped } from "./timesteps.ts";

/** A scheduler class: the fields that it reads, and the way from them to loops. */
export interface SchedulerClass {
	readonly fields: readonly string[];
	/** Throws `config` with every fault. */
	open(fields: Record<string, unknown>, where: string): SchedulerFactory;
}

export function schedulerClass<S extends z.ZodObject>(schema: S, make: (config: z.infer<S>) => SchedulerFactory): SchedulerClass {
	return {
		fields: Object.keys(schema.shape),
		open(fields, where) {
			const result = schema.safeParse(fields);
			if (result.success) return make(result.data);
			const { issues } = result.error;
			throw new KintsugiError("config", {
				where,
				expected: issues.map((issue) => `${issue.path.join(".")} ${issue.message}`.trim()).join("; "),
				found: issues.map((issue) => (issue.path.length > 0 ? JSON.stringify(fields[String(issue.path[0])]) : "such a field")).join("; "),
				fix: "use a model with a supported scheduler configuration",
			});
		},
	};
}

/** The timesteps of a loop with those that strength leaves out. A list that is given is followed as it is. */
export function visited(config: NoiseScheduleConfig, { steps, strength }: LoopOptions) {
	const all = typeof steps === "number" ? inferenceTimesteps(config, steps) : falling(steps, config.num_train_timesteps);
	return { timesteps: all.slice(skipped(all.length, strength)), stride: Math.floor(config.num_train_timesteps / all.length) };
}

/**
 * The step at place `i` of the timesteps. `noise` is there wherever `needsNoise(i)` says so, `learned` where the model's output has a second
 * half: what it learned of the variance.
 */
export type StepAt = (
	i: number,
	modelOutput: Float32Array,
	sample: Float32Array,
	noise?: Float32Array,
	learned?: Float32Array,
) => Float32Array;

export interface SchedulerParts extends Omit<Scheduler, "start" | "initNoiseSigma" | "needsNoise" | "scaleModelInput"> {
	initNoiseSigma?: number;
	needsNoise?(i: number): boolean;
	scaleModelInput?(sample: Float32Array, i: number): Float32Array;
	/** Called once for every sample, so that what it closes over is this sample's memory. */
	stepAt(): StepAt;
}

const never = () => false;
const asItIs = (sample: Float32Array) => sample;

/** A scheduler whose steps are counted, and refused without their noise or behind the last. */
export function schedulerOf({
	stepAt,
	initNoiseSigma = 1,
	needsNoise = never,
	scaleModelInput = asItIs,
	...parts
}: SchedulerParts): Scheduler {
	const { name, timesteps } = parts;
	return {
		...parts,
		initNoiseSigma,
		needsNoise,
		scaleModelInput,
		start(from = 0) {
			const step = stepAt();
			let i = from;
			return (modelOutput, sample, noise) => {
				if (i >= timesteps.length) {
					throw fault(name, `${timesteps.length} steps`, "one more", "call start() for another loop");
				}
				if (needsNoise(i) && !noise) {
					throw fault(`${name}, step at t = ${timesteps[i]}`, "noise", "none", "pass noise of the sample's length");
				}
				const n = sample.length;
				if (modelOutput.length === 2 * n) return step(i++, modelOutput.subarray(0, n), sample, noise, modelOutput.subarray(n));
				if (modelOutput.length === n) return step(i++, modelOutput, sample, noise);
				throw fault(name, `a model output of ${n} or ${2 * n} numbers`, `${modelOutput.length}`, "use a model that fits the sample");
			};
		},
	};
}

const fault = (where: string, expected: string, found: string, fix: string) => new KintsugiError("value", { where, expected, found, fix });
