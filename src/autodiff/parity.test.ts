/** @file Gradients of whole architectures against torch.autograd (fixtures: test/golden/autodiff.py). */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { freeze } from "../onnx/index.ts";
import { openSession, readModelFile, shapeRuntime } from "../runtime/index.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { gradientName, vjp } from "./index.ts";

const golden = (file: string) => fileURLToPath(new URL(`../../test/golden/autodiff/${file}`, import.meta.url));

interface Encoded {
	dims: number[];
	float32: string;
}

function read(name: string): Record<string, Tensor> {
	const encoded: Record<string, Encoded> = JSON.parse(readFileSync(golden(`${name}.json`), "utf8"));
	return Object.fromEntries(
		Object.entries(encoded).map(([key, { dims, float32 }]) => {
			const bytes = Uint8Array.from(Buffer.from(float32, "base64"));
			return [key, tensor(new Float32Array(bytes.buffer), dims)];
		}),
	);
}

/** Largest difference over the largest value, and the cosine. */
function compare(a: Tensor, b: Tensor): { relative: number; cosine: number } {
	let [difference, size, dot, aa, bb] = [0, 0, 0, 0, 0];
	a.data.forEach((v, i) => {
		const w = b.data[i];
		difference = Math.max(difference, Math.abs(v - w));
		size = Math.max(size, Math.abs(w));
		dot += v * w;
		aa += v * v;
		bb += w * w;
	});
	return { relative: difference / size, cosine: dot / Math.sqrt(aa * bb) };
}

const models = ["clip_vision", "vit_gelu", "yolos", "resnet", "blocks", "autoencoder_tiny", "unet"];
const cases = models.flatMap((model) => ["torchscript", "dynamo"].map((exporter) => ({ model, exporter })));

describe("gradients agree with torch.autograd", () => {
	it.each(cases)("$model, exported by $exporter", async ({ model, exporter }) => {
		const file = golden(`${model}.${exporter}.onnx`);
		expect(existsSync(file)).toBe(true);
		const tensors = read(model);
		const frozen = await freeze(readModelFile(file), { dims: { x: tensors.x.dims } }, shapeRuntime);
		const of = frozen.outputs.map((v) => v.name);
		const session = await openSession(vjp(frozen, { of, wrt: ["x"] }));
		const cotangents = Object.fromEntries(of.map((name) => [`cotangent/${name}`, tensors[`cotangent/${name}`]]));
		const results = await session.run({ x: tensors.x, ...cotangents });
		await session.close();
		for (const name of of) expect(compare(results[name] as Tensor, tensors[name]).relative, name).toBeLessThan(1e-4);
		const { relative, cosine } = compare(results[gradientName("x")] as Tensor, tensors.gradient);
		expect(relative).toBeLessThan(1e-4);
		expect(cosine).toBeGreaterThan(0.99999);
		if (process.env.KINTSUGI_TABLE)
			process.stdout.write(
				`| ${model} | ${exporter} | ${relative.toExponential(1)} | ${(1 - cosine).toExponential(1)} | ${frozen.nodes.length} |\n`,
			);
	});
});
