/** @file Purification in pixels with an unconditional diffusion model: noise to a timestep, then denoise. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { type HashMemo, hashFiles } from "../../hub/hash.ts";
import { openImageDenoiser, requireLabel } from "../../models/diffusers/image-denoiser.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import type { Resampling } from "../../schedulers/resampling.ts";
import { readSchedulerConfig, type Scheduler, type SchedulerName, schedulerFromConfig } from "../../schedulers/scheduler.ts";
import type { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { joined, padded, rowCopy, toModel, toPixels } from "./batches.ts";
import { denoise, stepsOf } from "./denoising.ts";
import { type Batch, type RunOptions, runBatches } from "./run-batches.ts";

export interface DenoiseJob {
	/** `[3, H, W]`, pixels in [0, 1]. */
	image: Tensor;
	/** `[1, H, W]`: where it is above 0.5 the image is made anew; elsewhere it is held to the input. Left out: everywhere. */
	mask?: Tensor | undefined;
	/** The stream that this job's noise comes from. */
	random: Random;
}

export interface DenoiseOptions extends RunOptions {
	/** Timestep up to which noise is added, of the scheduler's num_train_timesteps. */
	t?: number;
	sampler?: Sampler;
	/** Denoising steps, evenly spaced from `t` down. Default: all `t` of them. */
	steps?: number | undefined;
	/** Of networks with classes: which of them all images are taken for. */
	label?: number | undefined;
	/** RePaint, for jobs with masks: back up and down again, so that the painting and what is around it agree. */
	resample?: Resampling | undefined;
}

export interface DdpmPipeline {
	/** sha256 over the files that decide the outputs. */
	readonly hash: string;
	/** Jobs that are computed together. */
	readonly batch: number;
	/** Classes that the network was trained with; 0 if without. */
	readonly classes: number;
	/** One denoised image `[3, H, W]` a job, pixels in [0, 1]. */
	denoise(jobs: readonly DenoiseJob[], options?: DenoiseOptions): Promise<Tensor[]>;
	close(): Promise<void>;
}

export interface DdpmPipelineOptions extends SessionOptions {
	batch?: number;
	/** Hashes that are known already. */
	hashing?: { memo?: HashMemo };
}

/** Schedulers that can start at any timestep; `vp-sde` with all steps is DiffPure's. */
const CLASSES = {
	ddpm: "DDPMScheduler",
	ddim: "DDIMScheduler",
	"vp-sde": "VPSDE",
	euler: "EulerDiscreteScheduler",
	"euler-ancestral": "EulerAncestralDiscreteScheduler",
	"dpm-solver": "DPMSolverMultistepScheduler",
} as const satisfies Readonly<Record<string, SchedulerName>>;

export type Sampler = keyof typeof CLASSES;

export const SAMPLERS = Object.keys(CLASSES) as [Sampler, ...Sampler[]];

/** `steps` timesteps from t - 1 down to about t / steps - 1: so many that noise of exactly `t` steps is taken away. */
export function timestepsBelow(t: number, steps: number): number[] {
	return Array.from({ length: steps }, (_, i) => Math.round(t - (i * t) / steps) - 1);
}

/**
 * Opens a diffusers folder with a UNet2DModel or a GuidedDiffusionUNetModel: `unet` and `scheduler` inside it, or both files side by side
 * as in google/ddpm-*.
 */
export async function openDdpmPipeline(
	folder: string,
	{ batch = 1, hashing = {}, ...session }: DdpmPipelineOptions = {},
): Promise<DdpmPipeline> {
	const nested = existsSync(join(folder, "unet", "config.json"));
	const [unetFolder, schedulerFolder] = nested ? [join(folder, "unet"), join(folder, "scheduler")] : [folder, folder];
	const schedulerPath = join(schedulerFolder, "scheduler_config.json");
	const schedulerJson = await readSchedulerConfig(schedulerPath);
	const unet = await openImageDenoiser(unetFolder, session);
	const hash = await hashFiles([...unet.files, schedulerPath], { base: folder, ...hashing });

	const loop = ({ t = 100, sampler = "ddpm", steps = t }: DenoiseOptions): Scheduler => {
		const whole = Number.isInteger(t) && Number.isInteger(steps);
		if (!whole || t < 1 || steps < 1 || steps > t) {
			throw new KintsugiError("value", {
				where: "ddpm",
				expected: "whole numbers 1 <= steps <= t",
				found: `steps = ${steps}, t = ${t}`,
				fix: "choose other values",
			});
		}
		return schedulerFromConfig(schedulerJson, schedulerPath, CLASSES[sampler])({ steps: timestepsBelow(t, steps) });
	};

	const restore = async (
		{ jobs, onStep }: Batch<DenoiseJob>,
		scheduler: Scheduler,
		{ label, resample, signal }: DenoiseOptions,
	): Promise<Tensor[]> => {
		const { dims } = jobs[0].image;
		const randoms = jobs.map((job) => job.random);
		const clean = jobs.map((job) => toModel(job.image.data));
		const noise = clean.map((image, i) => randoms[i].normals(image.length));
		const samples = await denoise({
			scheduler,
			samples: clean.map((image, i) => scheduler.addNoise(image, noise[i], 0)),
			noise,
			randoms,
			predict: async (rows, t) => {
				const output = await unet.predict(joined(padded(rows, batch), dims), t, label);
				return rows.map((_, i) => rowCopy(output, i));
			},
			known: jobs.map(({ mask }, i) => (mask ? { clean: clean[i], mask: mask.data } : undefined)),
			resample,
			onStep: (step) => onStep(step, dims),
			signal,
		});
		return samples.map((sample) => tensor(toPixels(sample), dims));
	};

	return {
		hash,
		batch,
		classes: unet.classes,
		async denoise(jobs, options = {}) {
			requireLabel(unet.classes, options.label, folder);
			const scheduler = loop(options);
			const steps = stepsOf(scheduler, options.resample);
			return runBatches(jobs, { size: batch, steps, run: (group) => restore(group, scheduler, options) }, options);
		},
		close: unet.close,
	};
}
