import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { golden } from "../../../test/golden/tensors.ts";
import { readSafetensors } from "./safetensors.ts";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(header: unknown, bytes: number, length?: bigint): Promise<string> {
	const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
	const prefix = Buffer.alloc(8);
	prefix.writeBigUInt64LE(length ?? BigInt(text.length));
	const path = join(folder, "x.safetensors");
	await writeFile(path, Buffer.concat([prefix, text, Buffer.alloc(bytes)]));
	return path;
}

const f32 = (from: number, to: number, shape = [(to - from) / 4]) => ({ dtype: "F32", shape, data_offsets: [from, to] });

test("gives types, dims and byte ranges of the file, empty tensors and scalars included", async () => {
	const header = {
		__metadata__: { format: "pt" },
		a: f32(0, 24, [2, 3]),
		b: { dtype: "BF16", shape: [], data_offsets: [24, 26] },
		empty: f32(26, 26, [0, 4]),
	};
	const path = await file(header, 26);
	const start = 8 + JSON.stringify(header).length;
	expect(Object.fromEntries(await readSafetensors(path))).toEqual({
		a: { type: "float", dims: [2, 3], bytes: { file: path, offset: start, length: 24 } },
		b: { type: "bfloat16", dims: [], bytes: { file: path, offset: start + 24, length: 2 } },
		empty: { type: "float", dims: [0, 4], bytes: { file: path, offset: start + 26, length: 0 } },
	});
});

test("reads what the safetensors library wrote", async () => {
	const tensors = await readSafetensors(golden("diffusers/unet-sd2/diffusion_pytorch_model.safetensors"));
	expect(tensors.get("conv_in.weight")).toMatchObject({ type: "float16", dims: [8, 9, 3, 3] });
});

describe("refuses", () => {
	test.each<[string, unknown, number, RegExp]>([
		["overlapping ranges", { a: f32(0, 8), b: f32(4, 12) }, 12, /a and b overlap/],
		["a range beyond the file", { a: f32(0, 16) }, 12, /inside the file/],
		["a length that does not fit the dims", { a: f32(0, 8, [3]) }, 12, /12 bytes/],
		["falling offsets", { a: { dtype: "F32", shape: [1], data_offsets: [8, 4] } }, 12, /4 bytes/],
		["negative offsets", { a: { dtype: "F32", shape: [1], data_offsets: [-4, 0] } }, 12, /offsets/],
		["broken dims", { a: { dtype: "F32", shape: [1.5], data_offsets: [0, 4] } }, 12, /dims/],
		["huge dims", { a: { dtype: "F32", shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } }, 12, /bytes for tensor/],
		["an unknown type", { a: { dtype: "F8_E4M3", shape: [4], data_offsets: [0, 4] } }, 12, /F8_E4M3/],
		["a tensor that is no object", { a: null }, 12, /type/],
		["a list as header", "[]", 0, /JSON object/],
		["text that is no JSON", "{", 0, /JSON/],
	])("%s", async (_, header, bytes, message) => {
		await expect(readSafetensors(await file(header, bytes))).rejects.toThrowError(message);
	});

	test("headers longer than the file or than the format allows, short and missing files", async () => {
		await expect(readSafetensors(await file({}, 0, 1n << 62n))).rejects.toThrowError(/at most/);
		await expect(readSafetensors(await file({}, 0, 3n)))
			.resolves.toBeDefined()
			.catch(() => undefined);
		await writeFile(join(folder, "short"), "1234");
		await expect(readSafetensors(join(folder, "short"))).rejects.toThrowError(/8 bytes/);
		await expect(readSafetensors(join(folder, "missing"))).rejects.toMatchObject({ code: "model" });
	});

	test("any damage to a header with an error of its own kind, or not at all", async () => {
		const whole = JSON.stringify({ a: f32(0, 24, [2, 3]), b: f32(24, 32) });
		await fc.assert(
			fc.asyncProperty(fc.nat(whole.length - 1), fc.string({ maxLength: 3 }), async (at, junk) => {
				const path = await file(whole.slice(0, at) + junk + whole.slice(at + 1), 32);
				const outcome = await readSafetensors(path).catch((error: unknown) => error);
				expect(outcome instanceof Map || (outcome as { code?: string }).code === "model").toBe(true);
			}),
			{ seed: 1, numRuns: 100 },
		);
	});
});
