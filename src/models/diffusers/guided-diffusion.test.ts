/** @file guided-diffusion's UNet, and what UNet2DModel shares with it, against diffusers (test/golden/guided_diffusion.py). */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { drawnCase, drawnSample, drawnWeights } from "../../../test/golden/drawn.ts";
import { golden, maxDifference, readTensors } from "../../../test/golden/tensors.ts";
import { vjp } from "../../autodiff/vjp.ts";
import { freeze } from "../../onnx/freeze.ts";
import { checkGradient } from "../../runtime/check-gradient.ts";
import { openSession } from "../../runtime/session.ts";
import { shapeRuntime } from "../../runtime/shape-runtime.ts";
import { sizeOf, tensor } from "../../tensor/tensor.ts";
import { guidedDiffusionUNet, parseGuidedDiffusion } from "./guided-diffusion-unet.ts";
import { parseUNet2D, unet2D } from "./unet-2d.ts";
import { type Weights, weightsOf } from "./weights.ts";

const TOLERANCE = 1e-4;

async function graphOf(name: string, changes: Record<string, unknown> = {}) {
	const drawn = await drawnCase(name);
	const config = { ...drawn.config, ...changes };
	const [batch, , height, width] = drawn.dims;
	const dims = { batch, height, width };
	const weights = weightsOf(drawnWeights(drawn), name);
	const graph =
		config._class_name === "GuidedDiffusionUNetModel"
			? guidedDiffusionUNet(parseGuidedDiffusion(config, name), weights, dims)
			: unet2D(parseUNet2D(config, name), weights, dims);
	weights.finish();
	return { drawn, graph };
}

/** The largest difference to diffusers at each timestep, and between the first two timesteps of diffusers. */
async function differences(name: string, changes?: Record<string, unknown>) {
	const { drawn, graph } = await graphOf(name, changes);
	const expected = await readTensors(golden(`guided-diffusion/${name}.safetensors`));
	const session = await openSession(graph, { threads: 1 });
	const labels = drawn.labels && { class_labels: tensor(BigInt64Array.from(drawn.labels, BigInt), [drawn.labels.length], "int64") };
	const found: number[] = [];
	for (const t of [0, 40, 999]) {
		const { out_sample } = await session.run({ sample: drawnSample(drawn.dims), timestep: tensor(Float32Array.of(t), [1]), ...labels });
		found.push(maxDifference(out_sample, expected[`output_${t}`]));
	}
	await session.close();
	return { found: Math.max(...found), ofTime: maxDifference(expected.output_0, expected.output_40) };
}

test.each(["uncond-256", "class-new-order", "plain", "unet-2d-resnet", "unet-2d-mixed"])("%s", async (name) => {
	const { found, ofTime } = await differences(name);
	expect(found).toBeLessThan(TOLERANCE);
	expect(ofTime).toBeGreaterThan(100 * TOLERANCE);
});

test.each([
	["uncond-256", { use_new_attention_order: true }],
	["uncond-256", { num_head_channels: 64 }],
	["class-new-order", { use_new_attention_order: false }],
	["plain", { num_heads_upsample: -1 }],
])("%s is another network with %j", async (name, changes) => {
	expect((await differences(name, changes)).found).toBeGreaterThan(10 * TOLERANCE);
});

const published = Object.entries(
	JSON.parse(readFileSync(golden("guided-diffusion/published.json"), "utf8")) as Record<
		string,
		{ config: Record<string, unknown>; tensors: number; parameters: number; sha256: string }
	>,
);

test.each(published)("asks for every tensor of %s, by name and dims", (name, expected) => {
	const asked = new Map<string, readonly number[]>();
	const weights: Weights = {
		files: [],
		has: () => true,
		use(g, key, dims) {
			asked.set(key, dims);
			return g.fresh(key);
		},
		finish: () => {},
	};
	guidedDiffusionUNet(parseGuidedDiffusion(expected.config, name), weights, { batch: 1, height: 64, width: 64 });
	const lines = [...asked].map(([key, dims]) => `${key} ${dims.join(",")}`).sort();
	expect(lines).toHaveLength(expected.tensors);
	expect([...asked.values()].reduce((sum, dims) => sum + sizeOf(dims), 0)).toBe(expected.parameters);
	expect(createHash("sha256").update(lines.join("\n")).digest("hex")).toBe(expected.sha256);
});

test.each(["uncond-256", "class-new-order", "unet-2d-resnet"])("the gradient of %s agrees with numerical derivatives", async (name) => {
	const { graph } = await graphOf(name);
	const frozen = await freeze(graph, {}, shapeRuntime);
	const options = { of: ["out_sample"], wrt: ["sample"] };
	const check = await checkGradient(vjp(frozen, options), { ...options, range: [-1, 1], directions: 2, threads: 1, model: graph });
	expect(check.verdict).toBe("agrees");
	expect(check.outputs).toBeLessThan(1e-5);
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
