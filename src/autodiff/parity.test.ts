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
		report(model, exporter, relative, cosine, frozen.nodes.length);
	});
});

const yolox = fileURLToPath(new URL("../../../shared/models/yolox_nano.onnx", import.meta.url));

describe("a real network", () => {
	it.skipIf(!existsSync(yolox))("YOLOX-nano at 416 x 416", async () => {
		const { stride, norm, entries } = JSON.parse(readFileSync(golden("yolox_nano.json"), "utf8"));
		const frozen = await freeze(readModelFile(yolox), {}, shapeRuntime);
		const session = await openSession(vjp(frozen, { of: ["output"], wrt: ["images"] }));
		const wave = (n: number, at: (i: number) => number) => Float32Array.from({ length: n }, (_, i) => at(i));
		const images = wave(3 * 416 * 416, (i) => 114 + 60 * Math.sin(i / 91.7) + 40 * Math.sin(i / 7.3) + 20 * Math.sin(i * 1.9));
		const cotangent = wave(3549 * 85, (i) => Math.cos(i * 0.7));
		const results = await session.run({ images: tensor(images, [1, 3, 416, 416]), "cotangent/output": tensor(cotangent, [1, 3549, 85]) });
		await session.close();
		const gradient = results[gradientName("images")].data as Float32Array;
		const expected = new Float32Array(Uint8Array.from(Buffer.from(entries, "base64")).buffer);
		const sampled = tensor(
			expected.map((_, i) => gradient[i * stride]),
			[expected.length],
		);
		const { relative, cosine } = compare(sampled, tensor(expected, [expected.length]));
		expect(relative).toBeLessThan(1e-3);
		expect(cosine).toBeGreaterThan(0.99999);
		expect(Math.sqrt(gradient.reduce((s, v) => s + v * v, 0)) / norm).toBeCloseTo(1, 4);
		report("yolox_nano", "as published", relative, cosine, frozen.nodes.length);
	});
});

/** A row of the parity table, printed on demand. */
function report(model: string, exporter: string, relative: number, cosine: number, nodes: number): void {
	if (!process.env.KINTSUGI_TABLE) return;
	process.stdout.write(`| ${model} | ${exporter} | ${relative.toExponential(1)} | ${(1 - cosine).toExponential(1)} | ${nodes} |\n`);
}
