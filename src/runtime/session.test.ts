import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { type Graph, graphBuilder, readModel, writeModel } from "../onnx/index.ts";
import { random } from "../tensor/random.ts";
import { type DType, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import { graphKey, openSession, readModelFile, sessionCache, writeModelFile } from "./index.ts";
import { readBytes } from "./model-file.ts";

const tinyCnn = fileURLToPath(new URL("../../test/golden/tiny-cnn.onnx", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "kintsugi-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const images = tensor(random("images").uniforms(2 * 3 * 16 * 16), [2, 3, 16, 16]);

async function logits(model: Graph | string | Uint8Array): Promise<Tensor<DType>> {
	const session = await openSession(model);
	const { logits: out } = await session.run({ x: images });
	await session.close();
	return out;
}

/** Adds the 8 floats at `offset` of a file. */
function addsWeights(file: string, offset: number): Graph {
	const b = graphBuilder();
	b.input("x", "float", [8]);
	const w = b.constant({ type: "float", dims: [8], bytes: { file, offset, length: 32 } }, "w");
	b.output(b.op("Add", ["x", w], {}, { name: "y" }), "float", [8]);
	return b.build();
}

describe("openSession", () => {
	it("opens a path, bytes and a graph alike", async () => {
		const expected = await logits(tinyCnn);
		expect(expected.dims).toEqual([2, 10]);
		expect(await logits(readFileSync(tinyCnn))).toEqual(expected);
		expect(await logits(readModelFile(tinyCnn))).toEqual(expected);
	});

	it("says what goes in and comes out", async () => {
		const session = await openSession(tinyCnn);
		expect(session.inputs).toEqual([{ name: "x", dtype: "float32", dims: ["batch", 3, 16, 16] }]);
		expect(session.outputs).toEqual([{ name: "logits", dtype: "float32", dims: ["batch", 10] }]);
		await session.close();
		await session.close();
	});

	it("gives equal bytes for equal feeds", async () => {
		const session = await openSession(tinyCnn);
		const first = await session.run({ x: images });
		for (let i = 0; i < 3; i++) expect(await session.run({ x: images })).toEqual(first);
		await session.close();
	});

	it("refuses feeds that do not fit, by name", async () => {
		const session = await openSession(tinyCnn);
		await expect(session.run({ x: zeros([1, 3, 16, 15]) })).rejects.toThrow("float32 [batch, 3, 16, 16], found float32 [1, 3, 16, 15]");
		await expect(session.run({})).rejects.toThrow("found nothing");
		await session.close();
	});

	it("turns ONNX Runtime's refusals into errors of the project", async () => {
		const b = graphBuilder();
		b.input("x", "float", [2]);
		b.output(b.op("NoSuchOperator", ["x"]), "float", [2]);
		await expect(openSession(b.build())).rejects.toThrow(KintsugiError);
		await expect(openSession(b.build())).rejects.toThrow("NoSuchOperator");
		await expect(openSession(tinyCnn, { device: "abacus" })).rejects.toThrow("cpu, cuda");
	});

	it("runs beside outputs of other types, and says that they cannot be fetched", async () => {
		const b = graphBuilder();
		b.input("constructor", "float", [2]);
		b.output(b.op("Neg", ["constructor"], {}, { name: "y" }), "float", [2]);
		b.output(b.op("Cast", ["constructor"], { to: 3 }, { name: "small" }), "int8", [2]);
		b.output(b.op("Cast", ["constructor"], { to: 8 }, { name: "text" }), "string", [2]);
		const session = await openSession(b.build());
		expect(session.outputs.map((v) => v.dtype)).toEqual(["float32", undefined, undefined]);
		const feeds = { constructor: tensor(Float32Array.of(1, 2), [2]) };
		expect((await session.run(feeds, { fetch: ["y"] })).y.data).toEqual(Float32Array.of(-1, -2));
		await expect(session.run(feeds)).rejects.toThrow("output 'small' of the graph 'kintsugi'");
		await expect(session.run({})).rejects.toThrow("found nothing");
		await session.close();
		const text = graphBuilder();
		text.input("x", "string", [2]);
		text.output(text.op("Identity", ["x"]), "string", [2]);
		await expect(openSession(text.build())).rejects.toThrow("another input type");
	});

	it("passes every dtype through", async () => {
		const b = graphBuilder();
		const feeds: Record<string, Tensor<DType>> = {
			float: tensor(Float32Array.of(1.5), [1]),
			double: tensor(Float64Array.of(1.5), [1], "float64"),
			int64: tensor(BigInt64Array.of(2n ** 40n), [1], "int64"),
			int32: tensor(Int32Array.of(-3), [1], "int32"),
			uint8: tensor(Uint8Array.of(200), [1], "uint8"),
			bool: tensor(Uint8Array.of(1), [1], "bool"),
			float16: tensor(Uint16Array.of(0x3c00), [1], "float16"),
		};
		for (const type of ["float", "double", "int64", "int32", "uint8", "bool", "float16"] as const) {
			b.input(type, type, [1]);
			b.output(b.op("Identity", [type], {}, { name: `${type}-out` }), type, [1]);
		}
		const session = await openSession(b.build());
		const results = await session.run(feeds);
		for (const [name, t] of Object.entries(feeds)) expect(results[`${name}-out`]).toEqual(t);
		await session.close();
	});
});

describe("weights in files", () => {
	const weights = join(folder, "real", "weights.bin");
	mkdirSync(join(folder, "real"));
	writeFileSync(weights, new Uint8Array(Float32Array.from({ length: 100 }, (_, i) => i).buffer));

	it.each([0, 80, 84])("are read from offset %i by ONNX Runtime", async (offset) => {
		const session = await openSession(addsWeights(weights, offset));
		const { y } = await session.run({ x: zeros([8]) });
		expect([...(y.data as Float32Array)]).toEqual(Array.from({ length: 8 }, (_, i) => offset / 4 + i));
		await session.close();
	});

	it("may lie behind a link and in a folder that cannot be written", async () => {
		const linked = join(folder, "linked.bin");
		symlinkSync(weights, linked);
		chmodSync(join(folder, "real"), 0o555);
		const session = await openSession(addsWeights(linked, 4));
		expect((await session.run({ x: zeros([8]) })).y.data[0]).toBe(1);
		await session.close();
		chmodSync(join(folder, "real"), 0o755);
	});

	it("that are missing or too short are named", async () => {
		await expect(openSession(addsWeights(join(folder, "gone.bin"), 0))).rejects.toThrow("gone.bin");
		await expect(openSession(addsWeights(weights, 396))).rejects.toThrow(KintsugiError);
	});

	it("large constants in memory are handed over", async () => {
		const b = graphBuilder();
		const n = 300_000;
		b.input("x", "float", [n]);
		const data = Float32Array.from({ length: n }, (_, i) => i);
		const w = b.constant({ type: "float", dims: [n], bytes: { data: new Uint8Array(data.buffer) } });
		b.output(b.op("Add", ["x", w], {}, { name: "y" }), "float", [n]);
		const session = await openSession(b.build());
		expect((await session.run({ x: zeros([n]) })).y.data[n - 1]).toBe(n - 1);
		await session.close();
	});
});

describe("model files", () => {
	it("a written model points at the weights beside it, or has them inside", async () => {
		const copy = join(folder, "tiny.onnx");
		writeFileSync(copy, readFileSync(tinyCnn));
		const graph = readModelFile(copy);
		writeModelFile(graph, join(folder, "small.onnx"));
		writeModelFile(graph, join(folder, "whole.onnx"), { inline: true });
		const size = (name: string) => readFileSync(join(folder, name)).length;
		expect(size("small.onnx")).toBeLessThan(size("whole.onnx") / 2);
		const expected = await logits(tinyCnn);
		expect(await logits(join(folder, "small.onnx"))).toEqual(expected);
		expect(await logits(join(folder, "whole.onnx"))).toEqual(expected);
		expect(() => writeModelFile(graph, join(folder, "real", "elsewhere.onnx"))).toThrow("below that folder");
	});

	it("missing files and folders are errors of the project", () => {
		expect(() => readModelFile(join(folder, "none.onnx"))).toThrow(KintsugiError);
		expect(() => readModelFile(folder)).toThrow(KintsugiError);
	});

	it.skipIf(process.platform === "win32")("folders and pipes are neither models nor weights", () => {
		const pipe = join(folder, "pipe");
		execFileSync("mkfifo", [pipe]);
		expect(() => readModelFile(pipe)).toThrow("no regular file");
		expect(() => readBytes({ file: pipe, offset: 0, length: 1 })).toThrow("no regular file");
		mkdirSync(join(folder, "shards"));
		const file = join(folder, "shards.onnx");
		for (const location of ["shards", "pipe"]) {
			const bytes = writeModel(addsWeights(join(folder, location), 0), { place: () => ({ location, offset: 0, length: 32 }) });
			writeFileSync(file, bytes);
			expect(() => readModelFile(file)).toThrow("no regular file");
		}
	});

	it("a link that leads external data out of the model's folder is refused; the Hub's cache of links is not", () => {
		const place = (location: string) => (bytes: { data: Uint8Array } | { file: string }, name: string) =>
			name === "w" ? { location, offset: 0, length: 32 } : "data" in bytes ? bytes.data : new Uint8Array();
		const bytes = writeModel(addsWeights("unused", 0), { place: place("w.bin") });
		const [evil, blobs, snapshot] = ["evil", "blobs", "snapshot"].map((name) => join(folder, name));
		for (const path of [evil, blobs, snapshot]) mkdirSync(path);
		writeFileSync(join(evil, "m.onnx"), bytes);
		symlinkSync(join(folder, "real", "weights.bin"), join(evil, "w.bin"));
		expect(() => readModelFile(join(evil, "m.onnx"))).toThrow("a link to");
		writeFileSync(join(blobs, "aaa"), bytes);
		writeFileSync(join(blobs, "bbb"), new Uint8Array(400));
		symlinkSync(join(blobs, "aaa"), join(snapshot, "m.onnx"));
		symlinkSync(join(blobs, "bbb"), join(snapshot, "w.bin"));
		expect(readModelFile(join(snapshot, "m.onnx")).initializers.get("w")?.dims).toEqual([8]);
	});
});

describe("session cache", () => {
	it("opens equal graphs once, and others apart", async () => {
		const cache = sessionCache();
		const a = await cache.open(readModel(readFileSync(tinyCnn)));
		const b = await cache.open(readModel(readFileSync(tinyCnn)));
		const other = await cache.open(readModel(readFileSync(tinyCnn)), { threads: 1 });
		expect(a.run).toBe(b.run);
		expect(a.run).not.toBe(other.run);
		await a.close();
		expect((await b.run({ x: images })).logits.dims).toEqual([2, 10]);
		await cache.close();
	});

	it("keeps idle sessions up to its limit, and never closes one in use", async () => {
		const cache = sessionCache({ idle: 0 });
		const a = await cache.open(readModel(readFileSync(tinyCnn)));
		const b = await cache.open(readModel(readFileSync(tinyCnn)));
		await a.close();
		await a.close();
		expect((await b.run({ x: images })).logits.dims).toEqual([2, 10]);
		await b.close();
		const again = await cache.open(readModel(readFileSync(tinyCnn)));
		expect(again.run).not.toBe(b.run);
		await cache.close();
	});

	it("knows a graph by its weights, too", () => {
		const key = graphKey(addsWeights(tinyCnn, 0));
		expect(graphKey(addsWeights(tinyCnn, 0))).toBe(key);
		expect(graphKey(addsWeights(tinyCnn, 4))).not.toBe(key);
	});
});
