/** @file What every purifier promises: untouched pixels stay, results do not depend on the batch, options are told. */
import { copyFile, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { fourChannelFolder } from "../../test/support/four-channels.ts";
import type { Region } from "../regions/region.ts";
import { random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { Purified, Purifier, PurifierInput } from "./purifier.ts";
import { openPurifier, PURIFIERS, type PurifierSpec } from "./registry.ts";

const SIZE = 16;
let ddpmFolder: string;
let four: Awaited<ReturnType<typeof fourChannelFolder>>;

beforeAll(async () => {
	// The layout of google/ddpm-*: model and scheduler side by side.
	ddpmFolder = await mkdtemp(join(tmpdir(), "kintsugi-ddpm-"));
	await cp(golden("diffusers/unet-ddpm-heads"), ddpmFolder, { recursive: true });
	await copyFile(golden("diffusers/ddpm-scheduler/scheduler_config.json"), join(ddpmFolder, "scheduler_config.json"));
	four = await fourChannelFolder();
});
afterAll(async () => {
	await rm(ddpmFolder, { recursive: true });
	await four.remove();
});

const picture = (key: string): Tensor => {
	const r = random(7, key);
	return tensor(
		Float32Array.from({ length: 3 * SIZE * SIZE }, () => r.int(256) / 255),
		[3, SIZE, SIZE],
	);
};
const region = (box: Region["box"], prompt = "a dog"): Region => ({ label: "dog", score: 1, box, prompt });
const input = (id: string, regions: readonly Region[] = []): PurifierInput => ({ id, image: picture(id), regions });

const folders: Readonly<Record<string, () => string>> = {
	"mini-ddpm": () => ddpmFolder,
	"four-channels": () => four.folder,
	"mini-inpaint": () => golden("diffusers/inpaint"),
};
const resolveModel = async (name: string) => ({ dir: (folders[name] ?? (() => name))() });
const open = (spec: PurifierSpec) => openPurifier(spec, { resolveModel, session: { threads: 1 } });

/** Runs and closes. */
async function purify(spec: PurifierSpec, inputs: readonly PurifierInput[], seed = 3): Promise<Purified[]> {
	const purifier: Purifier = await open(spec);
	const results = await purifier.purify(inputs, { seed });
	await purifier.close();
	return results;
}

const changed = (a: Tensor, b: Tensor) => a.data.map((v, i) => (v === b.data[i] ? 0 : 1));
const specs: Record<string, PurifierSpec> = {
	"segmentation-guided": { name: "segmentation-guided", steps: 2, batch: 3 },
	"segmentation-guided outside": { name: "segmentation-guided", steps: 2, inpaint: "outside" },
	"segmentation-guided feathered": { name: "segmentation-guided", steps: 2, feather: 2 },
	naive: { name: "naive", steps: 4, batch: 2 },
	ddpm: { name: "ddpm", t: 5, batch: 2 },
	"ddpm boxes": { name: "ddpm", t: 100, steps: 3, sampler: "ddim", region: "boxes" },
	"ddpm vp-sde": { name: "ddpm", t: 8, sampler: "vp-sde", batch: 2 },
	"ddpm dpm-solver boxes": { name: "ddpm", t: 60, steps: 4, sampler: "dpm-solver", region: "boxes", batch: 3 },
	"ddpm euler": { name: "ddpm", t: 60, steps: 3, sampler: "euler" },
	"naive euler-ancestral": { name: "naive", steps: 4, scheduler: "euler-ancestral", batch: 2 },
	"segmentation-guided pndm": { name: "segmentation-guided", steps: 3, scheduler: "pndm", batch: 3 },
	"segmentation-guided model": { name: "segmentation-guided", steps: 2, scheduler: "model" },
	"segmentation-guided independent": { name: "segmentation-guided", steps: 2, independentRegions: true, batch: 3 },
	"segmentation-guided cropped": { name: "segmentation-guided", steps: 2, crop: 1, batch: 2 },
	"segmentation-guided cropped, own size": {
		name: "segmentation-guided",
		steps: 2,
		crop: 1,
		cropResolution: "image",
		feather: 1,
		batch: 3,
	},
	"segmentation-guided four channels": { name: "segmentation-guided", model: "four-channels", steps: 2, batch: 2 },
	"segmentation-guided repaint": {
		name: "segmentation-guided",
		model: "four-channels",
		steps: 3,
		eta: 1,
		resample: { jumpLength: 1, jumpSamples: 2 },
		batch: 3,
	},
	"naive four channels": { name: "naive", model: "four-channels", steps: 4, batch: 2 },
	"naive another vae": { name: "naive", vae: golden("diffusers/autoencoder-kl"), steps: 4 },
	"ddpm repaint": { name: "ddpm", t: 30, steps: 3, region: "boxes", resample: { jumpLength: 1, jumpSamples: 3 }, batch: 2 },
	vae: { name: "vae" },
	jpeg: { name: "jpeg", quality: 50 },
	blur: { name: "blur" },
	none: { name: "none" },
};

test("every purifier of the registry is tested here", () => {
	expect([...new Set(Object.values(specs).map((spec) => spec.name))].sort()).toEqual([...PURIFIERS].sort());
});

describe.each(Object.entries(specs))("%s", (_, spec) => {
	const boxes = [region([2, 3, 5, 6]), region([8, 1, 6, 13], "a cat")];
	const inputs = [input("a", boxes), input("b", [region([0, 0, 4, 4])]), input("c"), input("d", boxes), input("e", boxes)];

	test("keeps every pixel outside the mask, gives 8-bit pixels, and is the same alone and in company", async () => {
		const together = await purify(spec, inputs);
		const [alone] = await purify(spec, [inputs[3]]);
		expect(alone.image.data).toEqual(together[3].image.data);
		for (const [i, { image, mask }] of together.entries()) {
			expect(mask.dims).toEqual([1, SIZE, SIZE]);
			const differs = changed(image, inputs[i].image);
			expect(differs.every((d, p) => d === 0 || mask.data[p % mask.data.length] === 1)).toBe(true);
			expect(image.data.every((v) => v === Math.fround(Math.round(v * 255) / 255))).toBe(true);
		}
		expect(changed(together[0].image, inputs[0].image).some((d) => d === 1)).toBe(spec.name !== "none");
	});

	test("tells its options and its progress", async () => {
		const purifier = await open(spec);
		const seen: number[] = [];
		await purifier.purify(inputs, { seed: 1, onProgress: (done) => seen.push(done) });
		expect(purifier.name).toBe(spec.name);
		expect(seen.at(-1)).toBeCloseTo(1, 10);
		expect(seen).toEqual([...seen].sort((a, b) => a - b));
		const { name: _name, batch: _batch, model: _model, vae: _vae, ...given } = { batch: 1, model: "", vae: "", ...spec };
		expect(purifier.options).toMatchObject(given);
		expect(JSON.parse(JSON.stringify(purifier.options))).toEqual(purifier.options);
		await purifier.close();
	});
});

describe("segmentation-guided", () => {
	const spec: PurifierSpec = { name: "segmentation-guided", steps: 2 };
	const at = (p: Purified, x: number, y: number) => p.mask.data[y * SIZE + x];

	test("leaves an image without regions alone, inside and outside", async () => {
		for (const inpaint of ["inside", "outside"] as const) {
			const [result] = await purify({ ...spec, inpaint }, [input("a")]);
			expect(result.image.data).toEqual(picture("a").data);
			expect(result.mask.data.every((v) => v === 0)).toBe(true);
		}
	});

	test("masks the boxes, padded, or everything else", async () => {
		const inputs = [input("a", [region([4, 4, 4, 4])])];
		const [inside] = await purify({ ...spec, padding: 1 }, inputs);
		const [outside] = await purify({ ...spec, padding: 1, inpaint: "outside" }, inputs);
		expect([at(inside, 3, 3), at(inside, 8, 8), at(inside, 2, 3), at(inside, 9, 8)]).toEqual([1, 1, 0, 0]);
		expect(outside.mask.data).toEqual(inside.mask.data.map((v) => 1 - v));
	});

	test("paints another picture for another prompt, seed or repetition, and keeps to maxRegions", async () => {
		const one = (prompt: string) => [input("a", [region([4, 4, 8, 8], prompt), region([0, 0, 2, 2])])];
		const first = await purify(spec, one("a dog"));
		const again = await purify(spec, one("a dog"));
		const prompt = await purify(spec, one("a cat"));
		const seed = await purify(spec, one("a dog"), 4);
		const [limited] = await purify({ ...spec, maxRegions: 1 }, one("a dog"));
		expect(again[0].image.data).toEqual(first[0].image.data);
		expect(prompt[0].image.data).not.toEqual(first[0].image.data);
		expect(seed[0].image.data).not.toEqual(first[0].image.data);
		expect([at(first[0], 1, 1), at(limited, 1, 1), at(limited, 5, 5)]).toEqual([1, 0, 1]);
		const purifier = await open(spec);
		const [repeated] = await purifier.purify(one("a dog"), { seed: 3, repetition: 1 });
		await purifier.close();
		expect(repeated.image.data).not.toEqual(first[0].image.data);
	});

	test("paints a small object after the large one that it stands in front of", async () => {
		const small = region([6, 6, 3, 3], "a cat");
		const large = region([1, 1, 14, 14]);
		const paint = async (order: "largest" | "smallest") => (await purify({ ...spec, order }, [input("a", [small, large])]))[0].image;
		const [largest, smallest] = [await paint("largest"), await paint("smallest")];
		const [onlyLarge] = await purify(spec, [input("a", [region([0, 0, 0, 0]), large])]);
		const centre = (image: Tensor) => image.data[7 * SIZE + 7];
		expect(centre(largest)).not.toBe(centre(onlyLarge.image));
		expect(largest.data).not.toEqual(smallest.data);
	});
});

describe("refuses", () => {
	test.each([
		[{ name: "naive", strength: 2 } as PurifierSpec, /strength/],
		[{ name: "naive", strenght: 0.5 } as unknown as PurifierSpec, /strenght/],
		[{ name: "magic" } as unknown as PurifierSpec, /segmentation-guided/],
		[{ name: "naive", steps: 3, strength: 0.1 } as PurifierSpec, /strength/],
		[{ name: "ddpm", t: 10, steps: 11 } as PurifierSpec, /steps <= t/],
		[{ name: "ddpm", t: 5000 } as PurifierSpec, /falling whole numbers from 999/],
		[{ name: "ddpm", resample: {} } as PurifierSpec, /region: boxes/],
		[{ name: "segmentation-guided", resample: {} } as PurifierSpec, /4 channels only/],
		[{ name: "segmentation-guided", crop: -1 } as PurifierSpec, /crop/],
		[{ name: "segmentation-guided", model: "four-channels", steps: 9, resample: {} } as PurifierSpec, /jumpLength = 10, 9 steps/],
		[{ name: "naive", vae: golden("pipelines/vae-3-channels") } as PurifierSpec, /7 or 3 channels/],
	])("%j", async (spec, message) => {
		await expect(purify(spec, [input("a", [region([2, 2, 6, 6])])])).rejects.toThrowError(message);
	});

	test("a canvas that does not fit the autoencoder", async () => {
		const odd = { id: "odd", image: tensor(new Float32Array(3 * 15 * 16), [3, 15, 16]), regions: [] };
		await expect(purify({ name: "naive" }, [odd])).rejects.toThrowError(/divisible by 2/);
	});
});
