/** @file guided-diffusion's UNet, and what UNet2DModel shares with it, against diffusers (test/golden/guided_diffusion.py). */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DRAWN, drawnCase, drawnWeights } from "../../../test/golden/drawn.ts";
import { golden } from "../../../test/golden/tensors.ts";
import { gradientDifference, gradientGraph, outputDifference } from "../../../test/support/diffusion-parity.ts";
import { readDrawn } from "../../../test/support/drawn-parity.ts";
import { recordedWeights } from "../../../test/support/recorded-weights.ts";
import { checkGradient } from "../../runtime/check-gradient.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { guidedDiffusionUNet, parseGuidedDiffusion } from "./guided-diffusion-unet.ts";
import { weightsOf } from "./weights.ts";

test.each(DRAWN)("%s: outputs at three timesteps, and the gradient", async (name) => {
	const [part] = (await readDrawn(name)).parts;
	expect(await outputDifference(part)).toBeLessThan(1e-4);
	expect(await gradientDifference(part)).toBeLessThan(1e-4);
});

test.each([
	["uncond-256", { use_new_attention_order: true }],
	["uncond-256", { num_head_channels: 64 }],
	["class-new-order", { use_new_attention_order: false }],
	["plain", { num_heads_upsample: -1 }],
])("%s is another network with %j", async (name, changes) => {
	const [part] = (await readDrawn(name, changes)).parts;
	expect(await outputDifference(part)).toBeGreaterThan(1e-3);
});

test("the gradient agrees with numerical derivatives", async () => {
	const [part] = (await readDrawn("class-new-order")).parts;
	const options = { of: ["out_sample"], wrt: ["sample"], range: [-1, 1] as const, threads: 1 };
	const check = await checkGradient(await gradientGraph(part), { ...options, directions: 3, model: part.graph });
	expect(check.verdict).toBe("agrees");
	expect(check.outputs).toBeLessThan(1e-5);
});

const published = Object.entries(
	JSON.parse(readFileSync(golden("guided-diffusion/published.json"), "utf8")) as Record<
		string,
		{ config: Record<string, unknown>; tensors: number; parameters: number; sha256: string }
	>,
);

test.each(published)("asks for every tensor of %s, by name and dims", (name, expected) => {
	const { dims: asked, weights } = recordedWeights();
	guidedDiffusionUNet(parseGuidedDiffusion(expected.config, name), weights, { batch: 1, height: 64, width: 64 });
	const lines = [...asked].map(([key, dims]) => `${key} ${dims.join(",")}`).sort();
	expect(lines).toHaveLength(expected.tensors);
	expect([...asked.values()].reduce((sum, dims) => sum + sizeOf(dims), 0)).toBe(expected.parameters);
	expect(createHash("sha256").update(lines.join("\n")).digest("hex")).toBe(expected.sha256);
});

describe("refuses", () => {
	const flags = { image_size: 256, num_channels: 64 };
	test.each([
		[{ noise_schedule: "linear" }, /known fields only.*noise_schedule = "linear"/],
		[{ image_size: 96 }, /channel_mult.*none of 64, 128, 256, 512.*96/],
		[{ channel_mult: "1,two" }, /channel_mult.*1,two/],
		[{ num_channels: 48 }, /divisible by 32.*48/],
		[{ num_head_channels: 48 }, /divisible into heads.*256/],
		[{ num_heads: 3 }, /divisible into heads/],
		[{ num_heads_upsample: 7 }, /divisible into heads/],
		[{ num_head_channels: 0 }, /num_head_channels/],
	])("the flags %j", (changes, message) => {
		expect(() => parseGuidedDiffusion({ ...flags, ...changes }, "unet/config.json")).toThrowError(message);
	});

	test("images that do not halve evenly, and weights of other flags, by their own names", async () => {
		const drawn = await drawnCase("plain");
		const weights = weightsOf(drawnWeights(drawn), "plain");
		const config = parseGuidedDiffusion({ ...drawn.config, resblock_updown: true }, "plain");
		expect(() => guidedDiffusionUNet(config, weights, { batch: 1, height: 8, width: 10 })).toThrowError(/4 divides.*8 x 10/);
		guidedDiffusionUNet(config, weights, { batch: 1, height: 8, width: 8 });
		expect(() => weights.finish()).toThrowError(
			/missing: input_blocks\.2\.0\.in_layers\.0\.weight.*left over: input_blocks\.2\.0\.op\.bias/,
		);
	});
});
