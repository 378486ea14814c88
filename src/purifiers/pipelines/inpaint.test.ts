/** @file The whole pipeline against StableDiffusionInpaintPipeline with the same noise (test/golden/make_diffusers.py). */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden, readTensors } from "../../../test/golden/tensors.ts";
import { type Random, random } from "../../tensor/random.ts";
import { row, type Tensor } from "../../tensor/tensor.ts";
import { type InpaintJob, type InpaintPipeline, openInpaintPipeline } from "./inpaint.ts";

const folder = golden("diffusers/inpaint");
let io: Record<string, Tensor>;
let pipeline: InpaintPipeline;

beforeAll(async () => {
	io = (await readTensors(join(folder, "golden.safetensors"))) as Record<string, Tensor>;
	pipeline = await openInpaintPipeline(folder, { batch: 3, threads: 1 });
});
afterAll(() => pipeline.close());

const given = (noise: Float32Array): Random => ({ ...random(0), normals: () => noise });

const job = (i: number, prompt: string, noise: Random = given(row(io.noise, i).data)): InpaintJob => ({
	image: row(io.image, i),
	mask: row(io.mask, i),
	prompt,
	random: noise,
});

const difference = (a: Tensor, b: Tensor) => Math.max(...a.data.map((v, i) => Math.abs(v - b.data[i])));

describe.each([
	[1, 7.5, 20],
	[0.5, 3, 10],
	[1, 1, 20],
])("strength %d, guidance %d", (strength, guidance, steps) => {
	test("paints what diffusers paints", async () => {
		const options = { steps: 20, strength, guidance };
		const seen: number[] = [];
		const jobs = [job(0, "a photo of a dog"), job(1, "a cat")];
		const painted = await pipeline.inpaint(jobs, { ...options, onProgress: (done) => seen.push(done) });
		const expected = io[`output_${strength.toFixed(1)}_${guidance.toFixed(1)}`];
		painted.forEach((image, i) => {
			expect(difference(image, row(expected, i))).toBeLessThan(2 / 255);
		});
		expect(pipeline.steps(options)).toBe(steps);
		expect(seen).toHaveLength(steps);
		expect(seen.at(-1)).toBe(1);
	});
});

test.each([
	["ddpm", "DDPMScheduler", 1],
	["ddpm", "DDPMScheduler", 0.5],
	["pndm", "PNDMScheduler", 1],
	["pndm", "PNDMScheduler", 0.5],
	["euler", "EulerDiscreteScheduler", 1],
	["euler", "EulerDiscreteScheduler", 0.5],
	["euler-ancestral", "EulerAncestralDiscreteScheduler", 1],
	["euler-ancestral", "EulerAncestralDiscreteScheduler", 0.5],
	["dpm-solver", "DPMSolverMultistepScheduler", 1],
	["dpm-solver", "DPMSolverMultistepScheduler", 0.5],
	["lcm", "LCMScheduler", 1],
] as const)("%s (%s) at strength %d paints what diffusers paints with it", async (scheduler, name, strength) => {
	const expected = (await readTensors(golden("inpaint_schedulers.safetensors"))) as Record<string, Tensor>;
	const draws = Array.from({ length: expected.draws.dims[0] }, (_, i) => row(expected.draws, i).data);
	const noise: Random = { ...random(0), normals: () => draws.shift() ?? new Float32Array() };
	const [painted] = await pipeline.inpaint([job(0, "a photo of a dog", noise)], { scheduler, steps: 6, strength, guidance: 3 });
	expect(difference(painted, row(expected[`${name}_${strength.toFixed(1)}`], 0))).toBeLessThan(1e-4);
});

test("a job's result does not depend, in a single bit, on the company it is in", async () => {
	const options = { steps: 3 };
	const make = (key: string, i = 0) => job(i, key, random(1, key));
	const [alone] = await pipeline.inpaint([make("a dog")], options);
	const together = await pipeline.inpaint([make("x", 1), make("y", 1), make("z"), make("w", 1), make("a dog")], options);
	const first = await pipeline.inpaint([make("a dog"), make("q", 1), make("r", 1)], options);
	expect(together[4].data).toEqual(alone.data);
	expect(first[0].data).toEqual(alone.data);
	expect(together[2].data).not.toEqual(alone.data);
});

test("stops when it is told to", async () => {
	const controller = new AbortController();
	let calls = 0;
	const onProgress = () => {
		calls++;
		controller.abort();
	};
	await expect(pipeline.inpaint([job(0, "a")], { signal: controller.signal, onProgress })).rejects.toThrow(/abort/i);
	expect(calls).toBe(1);
});

test("refuses folders that are no inpainting pipeline", async () => {
	await expect(openInpaintPipeline(golden("diffusers/unet-sd2"))).rejects.toMatchObject({ code: "model" });
});
