/** @file Every pipeline reports its steps with the latents, and stops when it is told to: between steps, before encoding and before decoding. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { fourChannelFolder } from "../../../test/support/four-channels.ts";
import { maskFromBoxes } from "../../image/mask.ts";
import { random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { openDdpmPipeline } from "./ddpm.ts";
import { imageToImage } from "./image-to-image.ts";
import { openInpaintPipeline } from "./inpaint.ts";
import type { RunOptions, StepReport } from "./run-batches.ts";

const SIZE = 16;
const STEPS = 3;
type Run = (count: number, options: RunOptions) => Promise<Tensor[]>;

interface Watched {
	run: Run;
	/** Dims of a job's latents. */
	dims: readonly number[];
	close(): Promise<void>;
}

const job = (i: number) => {
	const image = tensor(random(1, i).uniforms(3 * SIZE * SIZE), [3, SIZE, SIZE]);
	return { image, mask: maskFromBoxes([[2, 2, 8, 8]], { height: SIZE, width: SIZE }), prompt: "a dog", random: random(2, i) };
};
const jobs = (count: number) => Array.from({ length: count }, (_, i) => job(i));

const pipelines: Record<string, () => Promise<Watched>> = {
	async "inpainting with 9 channels"() {
		const pipeline = await openInpaintPipeline(golden("diffusers/inpaint"), { batch: 2, threads: 1 });
		const run: Run = (count, options) => pipeline.inpaint(jobs(count), { steps: STEPS, ...options });
		return { run, dims: [4, 8, 8], close: pipeline.close };
	},
	async "inpainting with 4 channels and RePaint"() {
		const { folder, remove } = await fourChannelFolder();
		const pipeline = await openInpaintPipeline(folder, { batch: 2, threads: 1 });
		const resample = { jumpLength: 1, jumpSamples: 2 };
		const run: Run = (count, options) => pipeline.inpaint(jobs(count), { steps: 2, resample, ...options });
		// Of the two steps the last is taken twice.
		return { run, dims: [4, 8, 8], close: () => pipeline.close().then(remove) };
	},
	async "image to image"() {
		const { folder, remove } = await fourChannelFolder();
		const pipeline = await openInpaintPipeline(folder, { batch: 2, threads: 1 });
		const run: Run = (count, options) => imageToImage(pipeline, jobs(count), { steps: 2 * STEPS, strength: 0.5, ...options });
		return { run, dims: [4, 8, 8], close: () => pipeline.close().then(remove) };
	},
	async ddpm() {
		const folder = await mkdtemp(join(tmpdir(), "kintsugi-watch-"));
		await cp(golden("diffusers/unet-ddpm-heads"), folder, { recursive: true });
		await cp(golden("diffusers/ddpm-scheduler/scheduler_config.json"), join(folder, "scheduler_config.json"));
		const pipeline = await openDdpmPipeline(folder, { batch: 2, threads: 1 });
		const run: Run = (count, options) => pipeline.denoise(jobs(count), { t: 60, steps: STEPS, ...options });
		return { run, dims: [3, SIZE, SIZE], close: () => pipeline.close().then(() => rm(folder, { recursive: true })) };
	},
};

describe.each(Object.entries(pipelines))("%s", (_, open) => {
	let watched: Watched;
	beforeAll(async () => {
		watched = await open();
	});
	afterAll(() => watched.close());

	test("reports every step of every batch, and what it looks like", async () => {
		const reports: StepReport[] = [];
		const shares: number[] = [];
		const images = await watched.run(3, {
			onProgress: (done) => shares.push(done),
			async onStep(report) {
				// The pipeline waits.
				await new Promise((resolve) => setTimeout(resolve, 1));
				reports.push({ ...report, latents: report.latents.map((t) => tensor(t.data.slice(), t.dims)) });
			},
		});
		expect(images.map(({ dims }) => dims)).toEqual([1, 2, 3].map(() => [3, SIZE, SIZE]));
		expect(reports.map(({ step, of }) => [step, of])).toEqual([1, 2, 3, 4, 5, 6].map((step) => [step, 2 * STEPS]));
		expect(shares).toEqual([1, 2, 3, 4, 5, 6].map((step) => step / (2 * STEPS)));
		expect(reports.map((report) => report.jobs)).toEqual([1, 2, 3, 4, 5, 6].map((step) => (step <= STEPS ? [0, 1] : [2])));
		for (const { latents, jobs: places } of reports) expect(latents.map(({ dims }) => dims)).toEqual(places.map(() => watched.dims));
		const [first, second] = reports.map(({ latents }) => latents[0].data);
		expect(first).not.toEqual(second);
		expect(reports.slice(0, STEPS).map(({ timestep }) => timestep)).toEqual(reports.slice(STEPS).map(({ timestep }) => timestep));
		expect(reports[0].timestep).toBeGreaterThan(reports[STEPS - 1].timestep);
	});

	test("watching changes nothing", async () => {
		const [watchedImage] = await watched.run(1, { onStep: () => undefined });
		const [image] = await watched.run(1, {});
		expect(watchedImage.data).toEqual(image.data);
	});

	test.each([1, STEPS, STEPS + 1])("stops after step %d", async (last) => {
		const controller = new AbortController();
		let steps = 0;
		const onStep = ({ step }: StepReport) => {
			steps = step;
			if (step === last) controller.abort();
		};
		await expect(watched.run(3, { signal: controller.signal, onStep })).rejects.toThrow(/abort/i);
		expect(steps).toBe(last);
	});

	test("does not begin when it is told to stop before", async () => {
		let steps = 0;
		await expect(watched.run(1, { signal: AbortSignal.abort(), onStep: () => void steps++ })).rejects.toThrow(/abort/i);
		expect(steps).toBe(0);
	});

	test("hands on what a callback throws", async () => {
		const onStep = () => Promise.reject(new Error("enough"));
		await expect(watched.run(1, { onStep })).rejects.toThrow("enough");
	});
});
