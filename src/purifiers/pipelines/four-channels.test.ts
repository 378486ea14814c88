/** @file Inpainting and image to image with a 4-channel UNet against diffusers with the same noise (test/golden/pipelines.py). */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden, maxDifference, readTensors } from "../../../test/golden/tensors.ts";
import { fourChannelFolder } from "../../../test/support/four-channels.ts";
import { fullMask } from "../../image/mask.ts";
import { type Random, random } from "../../tensor/random.ts";
import { row, type Tensor } from "../../tensor/tensor.ts";
import { imageToImage } from "./image-to-image.ts";
import { type InpaintJob, type InpaintPipeline, type InpaintScheduler, openInpaintPipeline } from "./inpaint.ts";

const TOLERANCE = 1e-4;
const PROMPTS = ["a photo of a dog", "a cat"];
let io: Record<string, Tensor>;
let pipeline: InpaintPipeline;
let remove: () => Promise<void>;

beforeAll(async () => {
	io = (await readTensors(golden("pipelines/golden.safetensors"))) as Record<string, Tensor>;
	const made = await fourChannelFolder();
	remove = made.remove;
	pipeline = await openInpaintPipeline(made.folder, { batch: 2, threads: 1 });
});
afterAll(async () => {
	await pipeline.close();
	await remove();
});

/** The draws of diffusers, one after the other. */
function given(i: number): Random {
	const draws = row(io.draws, i);
	let next = 0;
	return { ...random(0), normals: () => row(draws, next++).data };
}

const jobs = (): InpaintJob[] => PROMPTS.map((prompt, i) => ({ image: row(io.image, i), mask: row(io.mask, i), prompt, random: given(i) }));

type Case = readonly [scheduler: InpaintScheduler, name: string, strength: number, guidance: number, steps: number];

function expectImages(kind: string, [, name, strength, guidance, steps]: Case, painted: readonly Tensor[]): void {
	const expected = io[`${kind}_${name}_${strength.toFixed(1)}_${guidance.toFixed(1)}_${steps}`];
	for (const [i, image] of painted.entries()) expect(maxDifference(image, row(expected, i))).toBeLessThan(TOLERANCE);
}

describe.each<Case>([
	["ddim", "DDIM", 1, 7.5, 20],
	["ddim", "DDIM", 0.5, 3, 20],
	["ddim", "DDIM", 1, 1, 20],
	["ddim", "DDIM", 0.3, 1, 20],
	["ddpm", "DDPM", 1, 3, 6],
	["pndm", "PNDM", 0.5, 3, 6],
	["euler", "EulerDiscrete", 1, 3, 6],
	["euler", "EulerDiscrete", 0.5, 3, 6],
	["euler-ancestral", "EulerAncestralDiscrete", 0.5, 3, 6],
	["dpm-solver", "DPMSolverMultistep", 1, 3, 6],
	["lcm", "LCM", 1, 3, 4],
])("inpainting with %s (%s), strength %d, guidance %d, %d steps", (...row) => {
	test("paints what StableDiffusionInpaintPipeline paints", async () => {
		const [scheduler, , strength, guidance, steps] = row;
		expectImages("inpaint", row, await pipeline.inpaint(jobs(), { scheduler, strength, guidance, steps }));
	});
});

describe.each<Case>([
	["ddim", "DDIM", 1, 7.5, 20],
	["ddim", "DDIM", 0.5, 3, 20],
	["ddim", "DDIM", 0.3, 1, 20],
	["ddpm", "DDPM", 0.5, 3, 6],
	["euler", "EulerDiscrete", 0.5, 3, 6],
	["dpm-solver", "DPMSolverMultistep", 1, 3, 6],
])("image to image with %s (%s), strength %d, guidance %d, %d steps", (...row) => {
	test("paints what StableDiffusionImg2ImgPipeline paints", async () => {
		const [scheduler, , strength, guidance, steps] = row;
		expectImages("img2img", row, await imageToImage(pipeline, jobs(), { scheduler, strength, guidance, steps }));
	});
});

test("a network that reads the guidance scale gets it, and runs once a step", async () => {
	const made = await fourChannelFolder("unet-lcm");
	const lcm = await openInpaintPipeline(made.folder, { threads: 1 });
	const paint = async (guidance: number) => (await lcm.inpaint(jobs().slice(0, 1), { scheduler: "lcm", steps: 4, guidance }))[0];
	const [painted, other] = [await paint(8), await paint(2)];
	await lcm.close();
	await made.remove();
	expect(maxDifference(painted, row(io.lcm, 0))).toBeLessThan(TOLERANCE);
	expect(maxDifference(other, row(io.lcm, 0))).toBeGreaterThan(0.001);
});

test("under a full mask, below full strength, inpainting is image to image", async () => {
	const make = () => ({ image: row(io.image, 0), prompt: "a cat", random: random(4) });
	const options = { steps: 6, strength: 0.5 };
	const [masked] = await pipeline.inpaint([{ ...make(), mask: fullMask({ height: 16, width: 16 }) }], options);
	const [whole] = await imageToImage(pipeline, [make()], options);
	expect(masked.data).toEqual(whole.data);
});

test("what the mask leaves comes back as the autoencoder gives it", async () => {
	const [job] = jobs();
	const kept = { ...job, mask: fullMask({ height: 16, width: 16 }, 0) };
	const [painted] = await pipeline.inpaint([kept], { steps: 3 });
	const batch = { ...job.image, dims: [1, ...job.image.dims], data: job.image.data.map((v) => 2 * v - 1) };
	const { data } = await pipeline.autoencoder.decode(await pipeline.autoencoder.encode(batch));
	const expected = data.map((v) => Math.min(1, Math.max(0, v / 2 + 0.5)));
	expect(Math.max(...painted.data.map((v, i) => Math.abs(v - expected[i])))).toBeLessThan(1e-5);
});
