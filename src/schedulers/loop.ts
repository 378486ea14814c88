/** @file Helpers of the schedulers: configuration, the list of visited timesteps, noise that must be there. */
import type { z } from "zod";
import { KintsugiError } from "../errors.ts";
import { inferenceTimesteps, type NoiseScheduleConfig } from "./noise-schedule.ts";

/** Checks scheduler_config.json; fields that begin with "_" are notes. Throws `config` with every fault. */
export function parseSchedulerConfig<S extends z.ZodType<NoiseScheduleConfig>>(
	schema: S,
	json: Record<string, unknown>,
	where: string,
): z.infer<S> {
	const fields = Object.fromEntries(Object.entries(json).filter(([name]) => !name.startsWith("_")));
	const result = schema.safeParse(fields);
	if (result.success) return result.data;
	const { issues } = result.error;
	throw new KintsugiError("config", {
		where,
		expected: issues.map((issue) => `${issue.path.join(".")} ${issue.message}`.trim()).join("; "),
		found: issues.map((issue) => (issue.path.length > 0 ? JSON.stringify(fields[String(issue.path[0])]) : "such a field")).join("; "),
		fix: "use a model with a supported scheduler configuration",
	});
}

/**
 * The timesteps of a loop and the one that follows each of them (-1 behind the last).
 * With a number of steps, "stride" goes back by the constant stride even where that is not in the list (DDIM in diffusers);
 * "list" takes the next of the list (DDPM in diffusers). A list that is given is always followed as it is.
 */
export function visited(config: NoiseScheduleConfig, steps: number | readonly number[], rule: "stride" | "list") {
	const timesteps = typeof steps === "number" ? inferenceTimesteps(config, steps) : falling(steps, config.num_train_timesteps);
	const next = new Map(timesteps.map((t, i) => [t, timesteps[i + 1] ?? -1]));
	const stride = Math.floor(config.num_train_timesteps / timesteps.length);
	const previous = (t: number): number => {
		const following = next.get(t);
		if (following === undefined) {
			throw new KintsugiError("value", {
				where: "scheduler step",
				expected: `one of the timesteps ${timesteps.join(", ")}`,
				found: `${t}`,
				fix: "step through the timesteps of this scheduler",
			});
		}
		return typeof steps === "number" && rule === "stride" ? t - stride : following;
	};
	return { timesteps, previous };
}

function falling(timesteps: readonly number[], trained: number): readonly number[] {
	const valid = timesteps.every((t, i) => Number.isInteger(t) && t >= 0 && t < trained && (i === 0 || t < timesteps[i - 1]));
	if (valid && timesteps.length > 0) return timesteps;
	throw new KintsugiError("value", {
		where: "scheduler timesteps",
		expected: `falling whole numbers from ${trained - 1} to 0`,
		found: timesteps.join(", ") || "none",
		fix: "sort the timesteps and remove repetitions",
	});
}

export function requireNoise(noise: Float32Array | undefined, t: number): Float32Array {
	if (noise) return noise;
	throw new KintsugiError("value", {
		where: `scheduler step at t = ${t}`,
		expected: "noise",
		found: "none",
		fix: "pass noise of the sample's length",
	});
}
