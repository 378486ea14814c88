/** @file Every published shape against the library itself, on tiny random checkpoints (test/golden/published.py). */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
	autoencoderGraphs,
	gradientDifference,
	gradientGraph,
	outputDifference,
	readTiny,
	tinyNames,
} from "../../../test/support/diffusion-parity.ts";
import { vjp } from "../../autodiff/index.ts";
import { packageRoot } from "../../hub/package-root.ts";
import { freeze, type Graph } from "../../onnx/index.ts";
import { checkGradient, shapeRuntime } from "../../runtime/index.ts";
import { readJson } from "./config.ts";
import { parseUNet2D, unet2D } from "./unet-2d.ts";
import { parseUNet2DCondition, unet2DCondition } from "./unet-2d-condition.ts";
import { openWeights } from "./weights.ts";

test.each(tinyNames())("%s: outputs are the library's", async (name) => {
	const { parts } = await readTiny(name);
	for (const part of parts) expect(await outputDifference(part), part.name).toBeLessThan(1e-4);
});

// The other UNets differ from these by their channels only; `npm run parity:diffusion` measures all of them.
const DIFFERENTIATED = ["sd1.5-inpainting-unet", "sd2-inpainting-unet", "lcm-dreamshaper-unet", "ddpm-cifar10-32-unet", "ddpm-256-unet"];

test.each([...DIFFERENTIATED, "sd1.5-vae", "taesd-vae"])("%s: gradients are torch.autograd's", async (name) => {
	const { parts } = await readTiny(name);
	for (const part of parts) expect(await gradientDifference(part), part.name).toBeLessThan(1e-4);
});

const check = { range: [0, 1], threads: 1 } as const;

test.each(["sd2-inpainting-unet", "ddpm-cifar10-32-unet", "sd1.5-vae", "taesd-vae"])(
	"%s: gradients agree with differences along random directions",
	async (name) => {
		const { parts } = await readTiny(name);
		for (const part of parts) {
			const wrt = [part.gradient?.wrt ?? ""];
			const { verdict } = await checkGradient(await gradientGraph(part), { of: [part.output], wrt, ...check });
			expect(verdict, part.name).toBe("agrees");
		}
	},
);

describe("the bundled models: gradients agree with differences along random directions", () => {
	const open = async (path: string) => {
		const folder = join(packageRoot(), "models", path);
		return { json: await readJson(join(folder, "config.json")), weights: await openWeights(folder, "diffusion_pytorch_model") };
	};
	const verdict = async (graph: Graph, of: string, wrt: string) => {
		const gradient = vjp(await freeze(graph, {}, shapeRuntime), { of: [of], wrt: [wrt] });
		return (await checkGradient(gradient, { of: [of], wrt: [wrt], directions: 2, model: graph, ...check })).verdict;
	};
	test("mini-inpaint: encoder and decoder", async () => {
		const { json, weights } = await open("mini-inpaint/vae");
		const { encoder, decoder } = autoencoderGraphs(json, weights, { batch: 1, height: 32, width: 32 });
		expect(await verdict(encoder, "latents", "sample")).toBe("agrees");
		expect(await verdict(decoder, "sample", "latents")).toBe("agrees");
	});
	test("mini-inpaint: a step of the UNet", async () => {
		const { json, weights } = await open("mini-inpaint/unet");
		const graph = unet2DCondition(parseUNet2DCondition(json, "unet"), weights, { batch: 1, height: 8, width: 8, tokens: 16 });
		expect(await verdict(graph, "out_sample", "sample")).toBe("agrees");
	});
	test("mini-ddpm: a step of the UNet", async () => {
		const { json, weights } = await open("mini-ddpm/unet");
		const graph = unet2D(parseUNet2D(json, "unet"), weights, { batch: 1, height: 16, width: 16 });
		expect(await verdict(graph, "out_sample", "sample")).toBe("agrees");
	});
});
