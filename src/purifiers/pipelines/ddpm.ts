/** @file Purification in pixels with an unconditional diffusion model: noise to a timestep, then denoise. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { type HashMemo, hashFiles } from "../../hub/hash.ts";
import { openUNet2D } from "../../models/diffusers/denoiser.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import { readSchedulerConfig, type Scheduler, type SchedulerName, schedulerFromConfig } from "../../schedulers/scheduler.ts";
import type { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { groups, joined, padded, rowCopy, toModel, toPixels } from "./batches.ts";

export interface DenoiseJob {
	/** `[3, H, W]`, pixels in [0, 1]. */
	image: Tensor;
	/** `[1, H, W]`: where it is above 0.5 the image is made anew; elsewhere it is held to the input. Left out: everywhere. */
	mask?: Tensor | undefined;
	/** The stream that this job's noise comes from. */
	random: Random;
}

export interface DenoiseOptions {
	/** Timestep up to which noise is added, of the scheduler's num_train_timesteps. */
	t?: number;
	sampler?: Sampler;
	/** Denoising steps, evenly spaced from `t` down. Default: all `t` of them. */
	steps?: number | undefined;
	onProgress?: ((done: number) => void) | undefined;
	signal?: AbortSignal | undefined;
}

export interface DdpmPipeline {
	/** sha256 over the files that decide the outputs. */
	readonly hash: string;
	/** Jobs that are computed together. */
	readonly batch: number;
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

const exists = (path: string) =>
	access(path).then(
		() => true,
		() => false,
	);

/** `steps` timesteps from t - 1 down to about t / steps - 1: so many that noise of exactly `t` steps is taken away. */
export function timestepsBelow(t: number, steps: number): number[] {
	return Array.from({ length: steps }, (_, i) => Math.round(t - (i * t) / steps) - 1);
}

/** Opens a diffusers folder with a UNet2DModel: `unet` and `scheduler` inside it, or both files side by side as in google/ddpm-*. */
export async function openDdpmPipeline(
	folder: string,
	{ batch = 1, hashing = {}, ...session }: DdpmPipelineOptions = {},
): Promise<DdpmPipeline> {
	const nested = await exists(join(folder, "unet", "config.json"));
	const [unetFolder, schedulerFolder] = nested ? [join(folder, "unet"), join(folder, "scheduler")] : [folder, folder];
	const schedulerPath = join(schedulerFolder, "scheduler_config.json");
	const schedulerJson = await readSchedulerConfig(schedulerPath);
	const unet = await openUNet2D(unetFolder, session);
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

	return {
		hash,
		batch,
		async denoise(jobs, options = {}) {
			const { onProgress, signal } = options;
			const scheduler = loop(options);
			const { timesteps } = scheduler;
			const batches = groups(jobs, batch);
			const total = batches.length * timesteps.length;
			const results: Tensor[] = [];
			for (const [n, group] of batches.entries()) {
				const { dims } = group[0].image;
				const clean = group.map((job) => toModel(job.image.data));
				const noise = group.map((job) => job.random.normals(job.image.data.length));
				const loops = clean.map(() => scheduler.start());
				let samples = clean.map((image, i) => scheduler.addNoise(image, noise[i], 0));
				for (const [s, t] of timesteps.entries()) {
					signal?.throwIfAborted();
					const inputs = samples.map((sample) => scheduler.scaleModelInput(sample, s));
					const output = await unet.predict(joined(padded(inputs, batch), dims), t);
					samples = samples.map((sample, i) => {
						const draw = scheduler.needsNoise(s) ? group[i].random.normals(sample.length) : undefined;
						return loops[i](rowCopy(output, i), sample, draw);
					});
					samples = samples.map((sample, i) => {
						const { mask } = group[i];
						if (!mask) return sample;
						// As in inpainting with a 4-channel UNet: the known part follows the forward process of the first draw.
						return merged(sample, s + 1 < timesteps.length ? scheduler.addNoise(clean[i], noise[i], s + 1) : clean[i], mask.data);
					});
					onProgress?.((n * timesteps.length + s + 1) / total);
				}
				results.push(...group.map((job, i) => tensor(toPixels(samples[i]), job.image.dims)));
			}
			return results;
		},
		close: unet.close,
	};
}

/** `inside` where the mask is above 0.5, `outside` elsewhere; the mask has one channel. */
function merged(inside: Float32Array, outside: Float32Array, mask: Float32Array): Float32Array {
	return inside.map((v, p) => (mask[p % mask.length] > 0.5 ? v : outside[p]));
}
