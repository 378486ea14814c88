/** @file Writes .safetensors files for tests. */
import { writeFile } from "node:fs/promises";
import { sizeOf } from "../../src/tensor/tensor.ts";

/** A file of float32 tensors of these dims; `value` gives element `i` of all of them in a row. */
export async function writeSafetensors(
	path: string,
	dims: Readonly<Record<string, readonly number[]>>,
	value: (i: number) => number = () => 0,
): Promise<void> {
	let at = 0;
	const header: Record<string, unknown> = {};
	for (const [name, shape] of Object.entries(dims)) {
		const end = at + 4 * sizeOf(shape);
		header[name] = { dtype: "F32", shape, data_offsets: [at, end] };
		at = end;
	}
	const text = Buffer.from(JSON.stringify(header));
	const prefix = Buffer.alloc(8);
	prefix.writeBigUInt64LE(BigInt(text.length));
	await writeFile(path, Buffer.concat([prefix, text, Buffer.from(Float32Array.from({ length: at / 4 }, (_, i) => value(i)).buffer)]));
}
