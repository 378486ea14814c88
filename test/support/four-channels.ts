/** @file A folder of the tiny text-to-image pipeline: the tiny inpainting pipeline with the 4-channel UNet of test/golden/pipelines.py. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { golden } from "../golden/tensors.ts";

/** Makes the folder with one of its UNets: `unet`, or `unet-lcm`, which reads the guidance scale; `remove` takes it away again. */
export async function fourChannelFolder(unet = "unet"): Promise<{ folder: string; remove(): Promise<void> }> {
	const folder = await mkdtemp(join(tmpdir(), "kintsugi-four-channels-"));
	await cp(golden("diffusers/inpaint"), folder, { recursive: true });
	await cp(golden(`pipelines/${unet}`), join(folder, "unet"), { recursive: true });
	return { folder, remove: () => rm(folder, { recursive: true }) };
}
