/** @file Options that save work: where they must not change the image they do not, and where they do, only as they say. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { maskFromBoxes } from "../image/mask.ts";
import { openTextEncoder } from "../models/diffusers/text-encoder.ts";
import type { Region } from "../regions/region.ts";
import { random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type InpaintPipeline, openInpaintPipeline } from "./pipelines/inpaint.ts";
import type { PurifierInput } from "./purifier.ts";
import { type SegmentationGuidedOptions, segmentationGuided } from "./segmentation-guided.ts";

const SIZE = 16;
const folder = golden("diffusers/inpaint");
let pipeline: InpaintPipeline;
beforeAll(async () => {
	pipeline = await openInpaintPipeline(folder, { batch: 2, threads: 1 });
});
afterAll(() => pipeline.close());

const picture = (key: string) => tensor(Float32Array.from({ length: 3 * SIZE * SIZE }, rounded(key)), [3, SIZE, SIZE]);
function rounded(key: string): () => number {
	const stream = random(7, key);
	return () => stream.int(256) / 255;
}
const region = (box: Region["box"], prompt = "a dog"): Region => ({ label: "dog", score: 1, box, prompt });
const input = (id: string, regions: readonly Region[]): PurifierInput => ({ id, image: picture(id), regions });

/** The first image. */
async function purify(options: SegmentationGuidedOptions, ...inputs: readonly PurifierInput[]): Promise<Tensor> {
	const [{ image }] = await segmentationGuided(pipeline, { steps: 2, ...options }).purify(inputs, { seed: 3 });
	return image;
}

test("a prompt is encoded once, across calls", async () => {
	const text = await openTextEncoder(join(folder, "text_encoder"), join(folder, "tokenizer"), { threads: 1 });
	const first = text.encode("a dog");
	expect(text.encode("a dog")).toBe(first);
	expect((await text.encode("a cat")).data).not.toEqual((await first).data);
	await text.close();
});

test("guidance 1 leaves out the half without the prompt: what guidance a hair above 1 computes with both", async () => {
	const job = () => ({
		image: picture("a"),
		mask: maskFromBoxes([[2, 2, 9, 9]], { height: SIZE, width: SIZE }),
		prompt: "a dog",
		random: random(1),
	});
	const [one, above, more] = await Promise.all(
		[1, 1 + 1e-6, 3].map(async (guidance) => (await pipeline.inpaint([job()], { steps: 4, guidance }))[0].data),
	);
	const difference = (a: Float32Array, b: Float32Array) => Math.max(...a.map((v, i) => Math.abs(v - b[i])));
	expect(difference(one, above)).toBeLessThan(1e-4);
	expect(difference(one, more)).toBeGreaterThan(0.01);
});

describe("independentRegions", () => {
	const [left, right] = [region([1, 1, 6, 12]), region([9, 2, 6, 12], "a cat")];
	const at = (image: Tensor, [x, y, w, h]: Region["box"]) =>
		Array.from({ length: 3 * w * h }, (_, i) => {
			const [c, dy, dx] = [Math.floor(i / (w * h)), Math.floor(i / w) % h, i % w];
			return image.data[(c * SIZE + y + dy) * SIZE + x + dx];
		});

	test("paints every object as if it were the only one", async () => {
		const both = await purify({ independentRegions: true }, input("a", [left, right]));
		// A region without an area keeps the place among the regions, and with it the noise.
		const nothing = region([0, 0, 0, 0]);
		const onlyLeft = await purify({}, input("a", [left, nothing]));
		const onlyRight = await purify({}, input("a", [nothing, right]));
		expect(at(both, left.box)).toEqual(at(onlyLeft, left.box));
		expect(at(both, right.box)).toEqual(at(onlyRight, right.box));
		const inTurn = await purify({}, input("a", [left, right]));
		expect(at(inTurn, left.box)).toEqual(at(both, left.box));
		expect(at(inTurn, right.box)).not.toEqual(at(both, right.box));
	});

	test("changes nothing where objects overlap, or where there is one", async () => {
		const cases = [[region([1, 1, 12, 12]), region([4, 4, 10, 10], "a cat"), region([6, 6, 4, 4])], [left]];
		for (const regions of cases) {
			const inTurn = await purify({}, input("a", regions));
			expect((await purify({ independentRegions: true }, input("a", regions))).data).toEqual(inTurn.data);
		}
	});

	test("paints an object after every object that it overlaps", async () => {
		const small = region([5, 1, 6, 5]);
		const regions = [left, right, small];
		const order = "given";
		const chained = await purify({ independentRegions: true, order }, input("a", regions));
		const [a, b] = [await purify({ order, maxRegions: 2, independentRegions: true }, input("a", regions)), region([0, 0, 0, 0])];
		const last = { ...input("a", [b, b, small]), image: a };
		expect(chained.data).toEqual((await purify({}, last)).data);
	});

	test("does not depend on the batch", async () => {
		const inputs = [input("a", [left, right]), input("b", [right, left, region([7, 0, 2, 2])])];
		const wide = await openInpaintPipeline(folder, { batch: 4, threads: 1 });
		const [together] = await segmentationGuided(wide, { steps: 2, independentRegions: true }).purify(inputs, { seed: 3 });
		await wide.close();
		const alone = await purify({ independentRegions: true }, inputs[0]);
		// A graph of another batch size may round differently before the pixels are rounded to 8 bits.
		expect(Math.max(...together.image.data.map((v, i) => Math.abs(v - alone.data[i])))).toBeLessThan(1.5 / 255);
	});
});

describe("crop", () => {
	const small = region([3, 4, 3, 4]);

	test.each(["model", "image"] as const)("changes nothing where the crop is the image (%s)", async (cropResolution) => {
		const whole = await purify({}, input("a", [small]));
		expect((await purify({ crop: SIZE, cropResolution }, input("a", [small]))).data).toEqual(whole.data);
		expect((await purify({ crop: 1, cropResolution }, input("a", [small]))).data).not.toEqual(whole.data);
	});

	test("paints what the crop alone would become", async () => {
		const { image } = input("a", []);
		const cropped = await purify({ crop: 2, cropResolution: "image" }, input("a", [small]));
		// The square of 8 pixels around the box.
		const box = tensor(
			Float32Array.from(
				{ length: 3 * 64 },
				(_, i) => image.data[(Math.floor(i / 64) * SIZE + 2 + (Math.floor(i / 8) % 8)) * SIZE + 1 + (i % 8)],
			),
			[3, 8, 8],
		);
		const alone = await purify({}, { id: "a", image: box, regions: [region([2, 2, 3, 4])] });
		for (let i = 0; i < 3 * 64; i++) {
			const [c, y, x] = [Math.floor(i / 64), Math.floor(i / 8) % 8, i % 8];
			expect(cropped.data[(c * SIZE + 2 + y) * SIZE + 1 + x]).toBe(alone.data[i]);
		}
	});
});

describe("another autoencoder", () => {
	test("the model's own, named, changes the hash and not the image; one of another class changes the image", async () => {
		const job = () => ({
			image: picture("a"),
			mask: maskFromBoxes([[2, 2, 9, 9]], { height: SIZE, width: SIZE }),
			prompt: "",
			random: random(1),
		});
		const paint = async (vae?: string) => {
			const opened = await openInpaintPipeline(folder, { vae, threads: 1 });
			const [image] = await opened.inpaint([job()], { steps: 2 });
			await opened.close();
			return { hash: opened.hash, data: image.data };
		};
		const own = await paint();
		const named = await paint(join(folder, "vae"));
		const within = await paint(folder);
		const other = await paint(golden("diffusers/autoencoder-kl"));
		expect([named.data, within.data]).toEqual([own.data, own.data]);
		expect(named.hash).not.toBe(own.hash);
		expect(within.hash).toBe(named.hash);
		expect(other.data).not.toEqual(own.data);
		expect(new Set([own.hash, named.hash, other.hash]).size).toBe(3);
	});

	test("one of another scale is refused, unless the model's own is not there to compare", async () => {
		const vae = join(folder, "vae");
		const model = await mkdtemp(join(tmpdir(), "kintsugi-scale-"));
		await cp(folder, model, { recursive: true });
		const config = join(model, "vae", "config.json");
		const { encoder_block_out_channels: levels, ...json } = JSON.parse(await readFile(config, "utf8"));
		await writeFile(config, JSON.stringify({ ...json, encoder_block_out_channels: [...levels, levels[0]] }));
		const refused = openInpaintPipeline(model, { vae, threads: 1 });
		await expect(refused).rejects.toMatchObject({ code: "config" });
		await expect(refused).rejects.toThrow(/vae: expected .* 4 times smaller .*, found 2 times smaller/);
		await rm(config);
		await (await openInpaintPipeline(model, { vae, threads: 1 })).close();
		await rm(model, { recursive: true });
	});
});
