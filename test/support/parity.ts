/** @file Fixtures of whole networks (test/golden/autodiff) and how far our gradients are from those of torch.autograd. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gradientName, vjp } from "../../src/autodiff/index.ts";
import { freeze } from "../../src/onnx/index.ts";
import { openSession, readModelFile, shapeRuntime } from "../../src/runtime/index.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";

const folder = new URL("../golden/autodiff/", import.meta.url);
const pathOf = (file: string) => fileURLToPath(new URL(file, folder));

interface Encoded {
	dims: number[];
	float32: string;
}

/** x, gradient, and for every output its value and its cotangent. */
export interface Fixture {
	name: string;
	tensors: Record<string, Tensor>;
	/** Why there is no file of an exporter. */
	reasons: Record<string, string>;
}

const floats = (base64: string): Float32Array => new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);

const readJson = (file: string): unknown => JSON.parse(readFileSync(pathOf(file), "utf8"));

/** Names of all networks with a gradient in the folder. */
export function fixtureNames(): string[] {
	const names = readdirSync(folder)
		.filter((file) => file.endsWith(".json"))
		.map((file) => file.slice(0, -5));
	return names.filter((name) => "gradient" in (readJson(`${name}.json`) as object)).sort();
}

export function readFixture(name: string): Fixture {
	const { "not exported": reasons = {}, ...encoded } = readJson(`${name}.json`) as Record<string, Encoded> & {
		"not exported"?: Record<string, string>;
	};
	const tensors = Object.fromEntries(Object.entries(encoded).map(([key, { dims, float32 }]) => [key, tensor(floats(float32), dims)]));
	return { name, tensors, reasons };
}

/** Files by exporter: both of PyTorch's, where undefined means that it failed, and any further ones in the folder. */
export function exportsOf(name: string): { exporter: string; file: string | undefined }[] {
	const files = readdirSync(folder).filter((file) => file.startsWith(`${name}.`) && file.endsWith(".onnx"));
	const exporters = new Set(["torchscript", "dynamo", ...files.map((file) => file.split(".")[1])]);
	return [...exporters].map((exporter) => {
		const file = `${name}.${exporter}.onnx`;
		return { exporter, file: files.includes(file) ? pathOf(file) : undefined };
	});
}

export interface Difference {
	/** Largest difference over the largest value. */
	relative: number;
	cosine: number;
}

function compare(a: Tensor, b: Tensor): Difference {
	let [difference, size, dot, aa, bb] = [0, 0, 0, 0, 0];
	a.data.forEach((v, i) => {
		const w = b.data[i];
		// Written so that a NaN stays.
		difference = Math.abs(v - w) <= difference ? difference : Math.abs(v - w);
		size = Math.max(size, Math.abs(w));
		dot += v * w;
		aa += v * v;
		bb += w * w;
	});
	return { relative: difference / size, cosine: dot / Math.sqrt(aa * bb) };
}

export interface Parity {
	gradient: Difference;
	/** Outputs of the network by name. */
	outputs: Record<string, Difference>;
	/** Number of nodes of the frozen network. */
	nodes: number;
}

/** Freezes, differentiates and runs one exported network at the fixture's point. */
export async function measureParity(file: string, { tensors }: Fixture): Promise<Parity> {
	const frozen = await freeze(readModelFile(file), { dims: { x: tensors.x.dims } }, shapeRuntime);
	const of = frozen.outputs.map((v) => v.name);
	const session = await openSession(vjp(frozen, { of, wrt: ["x"] }));
	try {
		const cotangents = Object.fromEntries(of.map((name) => [`cotangent/${name}`, tensors[`cotangent/${name}`]]));
		const results = await session.run({ x: tensors.x, ...cotangents });
		return {
			gradient: compare(results[gradientName("x")] as Tensor, tensors.gradient),
			outputs: Object.fromEntries(of.map((name) => [name, compare(results[name] as Tensor, tensors[name])])),
			nodes: frozen.nodes.length,
		};
	} finally {
		await session.close();
	}
}

/** A real network, where it is there. */
export const YOLOX = fileURLToPath(new URL("../../../shared/models/yolox_nano.onnx", import.meta.url));

/** YOLOX-nano at 416 x 416, at every `stride`-th pixel; and the ratio of the norms of the whole gradients. Reference: test/golden/yolox.py. */
export async function measureYolox(): Promise<{ gradient: Difference; norm: number; nodes: number }> {
	const { stride, norm, entries } = readJson("yolox_nano.json") as { stride: number; norm: number; entries: string };
	const frozen = await freeze(readModelFile(YOLOX), {}, shapeRuntime);
	const session = await openSession(vjp(frozen, { of: ["output"], wrt: ["images"] }));
	const wave = (n: number, at: (i: number) => number) => Float32Array.from({ length: n }, (_, i) => at(i));
	const images = wave(3 * 416 * 416, (i) => 114 + 60 * Math.sin(i / 91.7) + 40 * Math.sin(i / 7.3) + 20 * Math.sin(i * 1.9));
	const cotangent = wave(3549 * 85, (i) => Math.cos(i * 0.7));
	const results = await session.run({ images: tensor(images, [1, 3, 416, 416]), "cotangent/output": tensor(cotangent, [1, 3549, 85]) });
	await session.close();
	const gradient = results[gradientName("images")].data as Float32Array;
	const expected = floats(entries);
	const dims = [expected.length];
	const sampled = expected.map((_, i) => gradient[i * stride]);
	return {
		gradient: compare(tensor(sampled, dims), tensor(expected, dims)),
		norm: Math.sqrt(gradient.reduce((s, v) => s + v * v, 0)) / norm,
		nodes: frozen.nodes.length,
	};
}
