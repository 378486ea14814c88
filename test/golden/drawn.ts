/** @file The weights and inputs that test/golden/guided_diffusion.py draws from their names instead of saving them. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { floatTensor } from "../../src/onnx/builder.ts";
import type { ConstantTensor } from "../../src/onnx/graph.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { golden } from "./tensors.ts";

export interface DrawnCase {
	/** As in config.json. */
	config: Record<string, unknown>;
	/** Of the sample. */
	dims: [batch: number, channels: number, height: number, width: number];
	labels: number[] | null;
	/** Dims of every weight. */
	tensors: Record<string, number[]>;
}

/** Checkpoints of guided_diffusion.py, the first three of guided-diffusion's own class. */
export const DRAWN: readonly string[] = ["uncond-256", "class-new-order", "plain", "unet-2d-resnet", "unet-2d-mixed"];

export const drawnCase = async (name: string): Promise<DrawnCase> =>
	JSON.parse(await readFile(golden(`guided-diffusion/${name}.json`), "utf8")) as DrawnCase;

/** Uniform in [-1, 1), decided by the name alone. */
function draw(name: string, n: number): Float64Array {
	const seed = crc32(name);
	return Float64Array.from({ length: n }, (_, i) => {
		let x = (Math.imul(i, 0x9e3779b1) + seed) >>> 0;
		x = Math.imul(x ^ (x >>> 16), 0x21f0aaad) >>> 0;
		x = Math.imul(x ^ (x >>> 15), 0x735a2d97) >>> 0;
		return ((x ^ (x >>> 15)) >>> 0) / 2 ** 31 - 1;
	});
}

export function drawnWeight(name: string, dims: readonly number[]): Float32Array {
	const u = draw(name, sizeOf(dims));
	const scale = Math.sqrt(3 / sizeOf(dims.slice(1)));
	if (dims.length > 1) return Float32Array.from(u, (v) => v * scale);
	return Float32Array.from(u, (v) => (name.endsWith("weight") ? 1 + 0.3 * v : 0.3 * v));
}

/** Inputs, noise and cotangents: uniform with variance 1. */
export const drawnSample = (dims: readonly number[], name = "sample"): Tensor =>
	tensor(
		Float32Array.from(draw(name, sizeOf(dims)), (v) => v * Math.sqrt(3)),
		dims,
	);

export const drawnWeights = ({ tensors }: DrawnCase): Map<string, ConstantTensor> =>
	new Map(Object.entries(tensors).map(([name, dims]) => [name, floatTensor(drawnWeight(name, dims), dims)]));

/** Writes config.json, scheduler_config.json and the weights: a folder that pipelines open. */
export async function writeDrawn(folder: string, { config, tensors }: DrawnCase, scheduler: Record<string, unknown>): Promise<void> {
	const header: Record<string, unknown> = {};
	let at = 0;
	for (const [name, shape] of Object.entries(tensors)) {
		const end = at + 4 * sizeOf(shape);
		header[name] = { dtype: "F32", shape, data_offsets: [at, end] };
		at = end;
	}
	const json = JSON.stringify(header);
	const text = Buffer.from(json.padEnd(8 * Math.ceil(json.length / 8)));
	const prefix = Buffer.alloc(8);
	prefix.writeBigUInt64LE(BigInt(text.length));
	const data = Object.entries(tensors).map(([name, dims]) => Buffer.from(drawnWeight(name, dims).buffer));
	await mkdir(folder, { recursive: true });
	await Promise.all([
		writeFile(join(folder, "diffusion_pytorch_model.safetensors"), Buffer.concat([prefix, text, ...data])),
		writeFile(join(folder, "config.json"), JSON.stringify(config)),
		writeFile(join(folder, "scheduler_config.json"), JSON.stringify(scheduler)),
	]);
}
