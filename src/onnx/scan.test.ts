import { create, toBinary } from "@bufbuild/protobuf";
import {
	AttributeProtoSchema,
	GraphProtoSchema,
	ModelProtoSchema,
	NodeProtoSchema,
	OperatorSetIdProtoSchema,
	StringStringEntryProtoSchema,
	TensorProtoSchema,
} from "onnx-buf";
import { describe, expect, it } from "vitest";
import { type Graph, graphBuilder, readModel, writeModel } from "./index.ts";
import { bytesSource } from "./wire.ts";

const FILE = "/models/m.onnx";

/** Bytes of a model around the parts of a graph. */
const model = (graph: Parameters<typeof create<typeof GraphProtoSchema>>[1]): Uint8Array =>
	toBinary(
		ModelProtoSchema,
		create(ModelProtoSchema, {
			opsetImport: [create(OperatorSetIdProtoSchema, { version: 18n })],
			graph: create(GraphProtoSchema, graph),
		}),
	);

/** Two nested fields, as protobuf writes them: a model's graph with one field in it. */
function wire(field: number, content: Uint8Array): Uint8Array {
	const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))]);
	const inner = [field * 8 + 2, ...varint(content.length)];
	return Uint8Array.from(
		Buffer.concat([Buffer.from([0x42, 2, 0x10, 18, 0x3a, ...varint(inner.length + content.length), ...inner]), content]),
	);
}

const doors: [string, (bytes: Uint8Array) => Graph][] = [
	["bytes in memory", (bytes) => readModel(bytes)],
	["a file", (bytes) => readModel(bytesSource(bytes), { file: FILE })],
];

describe.each(doors)("the structure of %s", (_, read) => {
	it("may have tens of thousands of nodes", () => {
		const b = graphBuilder();
		b.input("x", "float", [2]);
		let last = "x";
		for (let i = 0; i < 60_000; i++) last = b.op("Relu", [last]);
		b.output(last, "float", [2]);
		expect(read(writeModel(b.build())).nodes).toHaveLength(60_000);
	});

	it("is read in linear time where one node reads what later nodes make", () => {
		const b = graphBuilder();
		b.input("x", "float", [1]);
		const parts = Array.from({ length: 20_000 }, () => b.op("Relu", ["x"]));
		b.output(b.op("Concat", parts, { axis: 0 }), "float", ["?"]);
		const bytes = writeModel({ ...b.build(), nodes: [...b.build().nodes].reverse() });
		const start = performance.now();
		expect(read(bytes).nodes.at(-1)?.op).toBe("Concat");
		expect(performance.now() - start).toBeLessThan(5000);
	});

	it("may say that raw data is not external, as files do whose weights were once", () => {
		const rawData = Uint8Array.from({ length: 8192 }, (__, i) => i % 251);
		const tensor = toBinary(TensorProtoSchema, create(TensorProtoSchema, { name: "w", dims: [2048n], dataType: 1, rawData }));
		// data_location = DEFAULT (0), written in full.
		const bytes = wire(5, Uint8Array.from([...tensor, 14 * 8, 0]));
		const found = read(bytes).initializers.get("w")?.bytes;
		if (!found) throw new Error("no tensor");
		expect("data" in found ? found.data : bytes.subarray(found.offset, found.offset + found.length)).toEqual(rawData);
	});

	it("cannot claim a place that is not in the file", () => {
		const externalData = [create(StringStringEntryProtoSchema, { key: "kintsugi:in-place", value: "4 400000" })];
		const initializer = [create(TensorProtoSchema, { name: "w", dims: [100_000n], dataType: 1, externalData })];
		expect(() => read(model({ initializer }))).toThrow("offset 4, length 400000");
	});

	it("is not read beyond 64 levels", () => {
		let graph = create(GraphProtoSchema, {});
		for (let i = 0; i < 30; i++) {
			const attribute = [create(AttributeProtoSchema, { name: "then_branch", type: 5, g: graph })];
			graph = create(GraphProtoSchema, { node: [create(NodeProtoSchema, { opType: "If", attribute })] });
		}
		expect(() => read(model(graph))).toThrow("64 deep");
	});

	it("may not take a gigabyte", () => {
		// 40 Mi numbers of one byte in int64_data (7), each 32 bytes in memory.
		const head = [7 * 8 + 2, 0x80, 0x80, 0x80, 0x14];
		const tensor = new Uint8Array(head.length + 40 * 2 ** 20);
		tensor.set(head);
		expect(() => read(wire(5, tensor))).toThrow("at most 1024 MiB");
	});

	it("must have the wire types of the standard", () => {
		// The graph as a number: a decoder that trusts the standard would take it for a length.
		expect(() => read(Uint8Array.of(0x42, 2, 0x10, 18, 0x38, 2, 0x0a, 0))).toThrow("a wrong type at byte 4");
	});
});
