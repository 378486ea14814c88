/** @file Ancestral sampling with Euler's method, as k-diffusion introduced it (sample_euler_ancestral, eta = 1). */
import { z } from "zod";
import { derivative, sigmaScaled } from "./euler.ts";
import { schedulerClass, schedulerOf } from "./loop.ts";
import { noiseScheduleFields } from "./noise-schedule.ts";
import { sigmaAt, trainedSigmas } from "./sigmas.ts";
import { falling, inferenceTimesteps, skipped } from "./timesteps.ts";

const schema = z.strictObject({
	...noiseScheduleFields,
	prediction_type: z.enum(["epsilon", "v_prediction"]).default("epsilon"),
	timestep_spacing: noiseScheduleFields.timestep_spacing.default("linspace"),
});

const f32 = Math.fround;

/**
 * EulerAncestralDiscreteScheduler of diffusers. One step goes down to sigma_down and adds noise of sigma_up, with
 * sigma_up^2 + sigma_down^2 = sigma'^2 and sigma_up^2 = sigma'^2 (sigma^2 - sigma'^2) / sigma^2. Rounded like Euler's.
 */
export const eulerAncestralDiscrete = schedulerClass(schema, (config) => {
	const { sigmas: trained } = trainedSigmas(config);
	return ({ steps, strength }) => {
		const all =
			typeof steps === "number" ? inferenceTimesteps(config, steps, { fractional: true }) : falling(steps, config.num_train_timesteps);
		const begin = skipped(all.length, strength);
		const full = [...all.map((t) => f32(sigmaAt(trained, t))), 0];
		const sigmas = full.slice(begin);
		return schedulerOf({
			name: "EulerAncestralDiscreteScheduler",
			config,
			timesteps: all.slice(begin),
			...sigmaScaled(config, sigmas, Math.max(...full)),
			needsNoise: (i) => sigmas[i + 1] > 0,
			stepAt: () => (i, modelOutput, sample, noise) => {
				const [from, to] = [sigmas[i], sigmas[i + 1]];
				const [from2, to2] = [f32(from * from), f32(to * to)];
				const up = f32(Math.sqrt(f32(f32(to2 * f32(from2 - to2)) / from2)));
				const down = f32(Math.sqrt(f32(to2 - f32(up * up))));
				const slope = derivative(config, { sigma: from, raised: from }, modelOutput, sample);
				const dt = f32(down - from);
				const moved = sample.map((x, n) => x + f32(slope[n] * dt));
				return noise && to > 0 ? moved.map((x, n) => x + f32(noise[n] * up)) : moved;
			},
		});
	};
});
