/** @file The bundled mini-taesd in place of mini-inpaint's own autoencoder: the same latents, on a bundled scene. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { toCanvas } from "../src/image/canvas.ts";
import { decodeImage } from "../src/image/decode.ts";
import { psnr } from "../src/metrics/similarity.ts";
import { openAutoencoder } from "../src/models/diffusers/autoencoder.ts";
import { toModel, toPixels } from "../src/purifiers/pipelines/batches.ts";
import { openPurifier, type PurifierSpec } from "../src/purifiers/registry.ts";
import { type Tensor, tensor } from "../src/tensor/tensor.ts";
import { ROOT } from "./support/cli.ts";

const { canvas: scene } = toCanvas(await decodeImage(join(ROOT, "data/scenes/val/000000000001.png")), { height: 64, width: 64 });
const session = { threads: 1 };

async function purify(spec: PurifierSpec): Promise<Tensor> {
	const purifier = await openPurifier(spec, { session });
	const region = { label: "dog", score: 1, box: [20, 20, 20, 20] as const, prompt: "a photo of a dog" };
	const [{ image }] = await purifier.purify([{ id: "scene", image: scene, regions: [region] }], { seed: 1 });
	await purifier.close();
	return image;
}

it("gives the scene back by itself, and with either half of mini-inpaint's autoencoder", async () => {
	const student = await openAutoencoder(join(ROOT, "models/mini-taesd"), session);
	const teacher = await openAutoencoder(join(ROOT, "models/mini-inpaint/vae"), session);
	for (const [from, to] of [
		[student, student],
		[teacher, student],
		[student, teacher],
	]) {
		const decoded = await to.decode(await from.encode(tensor(toModel(scene.data), [1, ...scene.dims])));
		expect(psnr(scene, tensor(toPixels(decoded.data), scene.dims))).toBeGreaterThan(22);
	}
	await student.close();
	await teacher.close();
});

it("is a purifier by name, and the autoencoder of one", async () => {
	expect(psnr(scene, await purify({ name: "vae", model: "mini-taesd" }))).toBeGreaterThan(22);
	const own = await purify({ name: "segmentation-guided", steps: 2 });
	const other = await purify({ name: "segmentation-guided", steps: 2, vae: "mini-taesd" });
	expect(other.data).not.toEqual(own.data);
	expect(psnr(own, other)).toBeGreaterThan(20);
});
