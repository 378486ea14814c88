/** @file The checkpoints of test/golden/guided_diffusion.py as parts for `diffusion-parity.ts`. */
import { guidedDiffusionUNet, parseGuidedDiffusion } from "../../src/models/diffusers/guided-diffusion-unet.ts";
import { parseUNet2D, unet2D } from "../../src/models/diffusers/unet-2d.ts";
import { weightsOf } from "../../src/models/diffusers/weights.ts";
import type { Tensors } from "../../src/runtime/index.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { drawnCase, drawnSample, drawnWeights } from "../golden/drawn.ts";
import { golden, readTensors } from "../golden/tensors.ts";
import type { Checkpoint } from "./diffusion-parity.ts";

/** The network as it was saved, or with some fields of config.json changed; throws if a tensor is missing or left over. */
export async function readDrawn(name: string, changes: Record<string, unknown> = {}): Promise<Checkpoint> {
	const drawn = await drawnCase(name);
	const config = { ...drawn.config, ...changes };
	const [batch, , height, width] = drawn.dims;
	const weights = weightsOf(drawnWeights(drawn), name);
	const className = String(config._class_name);
	const graph =
		className === "GuidedDiffusionUNetModel"
			? guidedDiffusionUNet(parseGuidedDiffusion(config, name), weights, { batch, height, width })
			: unet2D(parseUNet2D(config, name), weights, { batch, height, width });
	weights.finish();
	const io: Tensors = await readTensors(golden(`guided-diffusion/${name}.safetensors`));
	const labels: Tensors = drawn.labels
		? { class_labels: tensor(BigInt64Array.from(drawn.labels, BigInt), [drawn.labels.length], "int64") }
		: {};
	const at = (t: number): Tensors => ({ sample: drawnSample(drawn.dims), timestep: tensor(Float32Array.of(t), [1]), ...labels });
	const part = {
		name: "",
		graph,
		output: "out_sample",
		runs: [0, 40, 999].map((t) => ({ feeds: at(t), expected: io[`output_${t}`] })),
		gradient: { wrt: "sample", feeds: at(40), cotangent: drawnSample(io.output_40.dims, "cotangent"), expected: io.gradient },
	};
	return { name, className, parts: [part] };
}
