/** @file Purification with guided-diffusion's UNet: DiffPure, and DDPM with the learned variance (test/golden/guided_diffusion.py). */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { drawnCase, drawnSample, writeDrawn } from "../../../test/golden/drawn.ts";
import { golden, maxDifference, readTensors } from "../../../test/golden/tensors.ts";
import { random } from "../../tensor/random.ts";
import { row, type Tensor, tensor } from "../../tensor/tensor.ts";
import { ddpm } from "../ddpm.ts";
import { openPurifier } from "../registry.ts";
import { openDdpmPipeline, type Sampler } from "./ddpm.ts";

const scheduler = { _class_name: "DDPMScheduler", num_train_timesteps: 1000, beta_schedule: "linear", variance_type: "learned_range" };

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-guided-"));
	await writeDrawn(join(folder, "classes"), await drawnCase("class-new-order"), scheduler);
	await writeDrawn(join(folder, "none"), await drawnCase("uncond-256"), scheduler);
});
afterAll(() => rm(folder, { recursive: true }));

/** Pixels in [0, 1] from values in [-1, 1]. */
const pixels = ({ data, dims }: Tensor) =>
	tensor(
		data.map((v) => Math.min(1, Math.max(0, (v + 1) / 2))),
		dims,
	);

const dims = [1, 3, 8, 12];
const image = row(pixels(drawnSample(dims)), 0);

describe("with classes", () => {
	test.each<Sampler>(["ddpm", "vp-sde"])("%s gives the reference's image for the same noise", async (sampler) => {
		const pipeline = await openDdpmPipeline(join(folder, "classes"), { batch: 2, threads: 1 });
		expect(pipeline.classes).toBe(5);
		let draws = 0;
		const given = { ...random(0), normals: () => drawnSample(dims, `noise ${draws++}`).data };
		const [found] = await pipeline.denoise([{ image, random: given }], { t: 40, steps: 4, sampler, label: 2 });
		await pipeline.close();
		const expected = row(pixels((await readTensors(golden("guided-diffusion/purified.safetensors")))[sampler] as Tensor), 0);
		expect(maxDifference(found, expected)).toBeLessThan(1e-4);
		expect(maxDifference(found, image)).toBeGreaterThan(2 / 255);
	});

	test("the class matters, has to be there, and has to be one of them", async () => {
		const pipeline = await openDdpmPipeline(join(folder, "classes"), { threads: 1 });
		const run = (label?: number) => pipeline.denoise([{ image, random: random(1) }], { t: 40, steps: 2, label });
		const [[one], [again], [other]] = [await run(1), await run(1), await run(3)];
		expect(again.data).toEqual(one.data);
		expect(maxDifference(one, other)).toBeGreaterThan(1e-3);
		await expect(run()).rejects.toThrowError(/a class from 0 to 4, found none/);
		await expect(run(5)).rejects.toThrowError(/a class from 0 to 4, found 5/);
		expect(() => ddpm(pipeline)).toThrowError(/classLabel: expected a class from 0 to 4/);
		expect(ddpm(pipeline, { classLabel: 4 }).options).toMatchObject({ classLabel: 4 });
		await pipeline.close();
	});
});

describe("without", () => {
	const wide = { id: "a", image: row(pixels(drawnSample([1, 3, 32, 64])), 0), regions: [] };

	test("DiffPure from a folder, as an experiment names it", async () => {
		const resolveModel = async (name: string) => ({ dir: join(folder, name) });
		const context = { resolveModel, session: { threads: 1 } };
		const purifier = await openPurifier({ name: "ddpm", model: "none", sampler: "vp-sde", t: 3 }, context);
		const [{ image: purified }] = await purifier.purify([wide], { seed: 1 });
		expect(purified.dims).toEqual([3, 32, 64]);
		expect(purified.data.every((v) => Math.abs(v * 255 - Math.round(v * 255)) < 1e-4)).toBe(true);
		const difference = maxDifference(purified, wide.image);
		expect(difference).toBeGreaterThan(1 / 255);
		const [{ image: again }] = await purifier.purify([wide], { seed: 1 });
		expect(again.data).toEqual(purified.data);
		await purifier.close();
		await expect(openPurifier({ name: "ddpm", model: "none", classLabel: 0 }, context)).rejects.toThrowError(/trained without, found 0/);
	});

	test("refuses images that the network cannot halve, and folders of other classes", async () => {
		const pipeline = await openDdpmPipeline(join(folder, "none"), { threads: 1 });
		await expect(pipeline.denoise([{ image, random: random(0) }], { t: 1 })).rejects.toThrowError(/32 divides, found 8 x 12/);
		await pipeline.close();
		await writeFile(join(folder, "classes", "config.json"), JSON.stringify({ _class_name: "UNet1DModel" }));
		await expect(openDdpmPipeline(join(folder, "classes"))).rejects.toThrowError(/UNet2DModel or GuidedDiffusionUNetModel.*UNet1DModel/);
	});
});
