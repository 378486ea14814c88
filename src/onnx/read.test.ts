import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ModelProtoSchema, TensorShapeProto_DimensionSchema, TensorShapeProtoSchema } from "onnx-buf";
import { describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import {
	constantNumbers,
	constantTensor,
	float,
	floatTensor,
	type Graph,
	graphBuilder,
	int64Tensor,
	type Node,
	readModel,
	writeModel,
} from "./index.ts";
import { bytesSource as source } from "./wire.ts";

const tinyCnn = readFileSync(fileURLToPath(new URL("../../test/golden/tiny-cnn.onnx", import.meta.url)));

function sample(): Graph {
	const b = graphBuilder({ name: "sample" });
	b.input("x", "float", ["batch", 3, "?"]);
	const w = b.constant(floatTensor([1, 2, 3], [3, 1]), "w");
	const y = b.op("Mul", ["x", w], {}, { name: "y" });
	const z = b.op("LeakyRelu", [y], { alpha: float(0.25) });
	const out = b.op("ReduceSum", [z, b.ints([1])], { keepdims: 0 });
	b.output(out, "float", ["batch", "?"]);
	b.output(b.op("com.example", [z], { names: { strings: ["a", "ü"] }, list: [1, 2], text: "t" }, { domain: "example" }), "int64", ["*"]);
	return b.build();
}

const thrown = (f: () => unknown): unknown => {
	try {
		return f();
	} catch (error) {
		return error;
	}
};

describe("reading and writing", () => {
	it("reads what it wrote", () => {
		expect(readModel(writeModel(sample()))).toEqual(sample());
	});

	it("reads a real file: names, dims, weights", () => {
		const graph = readModel(tinyCnn);
		expect(graph.inputs).toEqual([{ name: "x", type: "float", dims: ["batch", 3, 16, 16] }]);
		expect(graph.outputs).toEqual([{ name: "logits", type: "float", dims: ["batch", 10] }]);
		expect(graph.nodes.map((n) => n.op).filter((op) => op === "Conv")).toHaveLength(3);
		expect(readModel(writeModel(graph))).toEqual(graph);
	});

	it("notes where large weights lie in the file, and the place is right", () => {
		const inMemory = readModel(tinyCnn);
		const onDisk = readModel(source(tinyCnn), { file: "/models/tiny.onnx" });
		let ranges = 0;
		for (const [name, { bytes }] of onDisk.initializers) {
			const expected = inMemory.initializers.get(name)?.bytes;
			if (!expected || !("data" in expected)) throw new Error(name);
			if ("data" in bytes) {
				expect(bytes.data).toEqual(expected.data);
				continue;
			}
			ranges++;
			expect(bytes.file).toBe("/models/tiny.onnx");
			expect(new Uint8Array(tinyCnn.subarray(bytes.offset, bytes.offset + bytes.length))).toEqual(new Uint8Array(expected.data));
		}
		expect(ranges).toBeGreaterThan(0);
	});

	it("makes Constant nodes initializers, in every form", () => {
		const b = graphBuilder();
		const values = [
			b.op("Constant", [], { value: { tensor: floatTensor([1, 2], [2]) } }),
			b.op("Constant", [], { value_int: 3 }),
			b.op("Constant", [], { value_float: float(0.5) }),
			b.op("Constant", [], { value_ints: [4, 5] }),
			b.op("Constant", [], { value_floats: { floats: [0.25] } }),
		];
		for (const v of values) b.output(b.op("Identity", [v]), "float", []);
		const graph = readModel(writeModel(b.build()));
		expect(graph.nodes.map((n) => n.op)).toEqual(values.map(() => "Identity"));
		expect(values.map((v) => constantNumbers(graph.initializers.get(v) ?? int64Tensor([])))).toEqual([[1, 2], [3], [0.5], [4, 5], [0.25]]);
		expect(constantTensor(int64Tensor([7]))?.data).toEqual(BigInt64Array.of(7n));
	});

	it("leaves Constant nodes that are no constant of one name to the runtime", () => {
		const constant = (outputs: string[], attributes: Node["attributes"]): Node => ({
			op: "Constant",
			domain: "",
			name: "c",
			inputs: [],
			outputs,
			attributes,
		});
		const nodes = [
			constant([], { value_int: { int: 1n } }),
			constant(["", "d"], { value_int: { int: 1n } }),
			constant(["e"], { other: { int: 1n } }),
		];
		const graph = readModel(writeModel({ ...sample(), nodes: [...sample().nodes, ...nodes] }));
		expect(graph.nodes.filter((n) => n.op === "Constant")).toEqual(nodes);
		expect(readModel(writeModel(graph))).toEqual(graph);
	});

	it("takes -1, and symbols that mean something else here, for unknown dims", () => {
		const dims = ["*", -1, "n", 3, "?"];
		const dim = dims.map((d) =>
			create(TensorShapeProto_DimensionSchema, {
				value: typeof d === "number" ? { case: "dimValue", value: BigInt(d) } : { case: "dimParam", value: d },
			}),
		);
		const proto = fromBinary(ModelProtoSchema, writeModel(sample()));
		const type = proto.graph?.input[0].type?.value;
		if (type?.case !== "tensorType") throw new Error("no tensor");
		type.value.shape = create(TensorShapeProtoSchema, { dim });
		expect(readModel(toBinary(ModelProtoSchema, proto)).inputs[0].dims).toEqual(["?", "?", "n", 3, "?"]);
	});

	it("refuses a node with two attributes of one name", () => {
		const proto = fromBinary(ModelProtoSchema, writeModel(sample()));
		const node = proto.graph?.node.find((n) => n.opType === "LeakyRelu");
		node?.attribute.push(...node.attribute);
		expect(() => readModel(toBinary(ModelProtoSchema, proto))).toThrow("alpha, alpha of LeakyRelu");
	});

	it("sorts nodes that a file has in the wrong order", () => {
		const graph = sample();
		const shuffled = { ...graph, nodes: [...graph.nodes].reverse() };
		const names = readModel(writeModel(shuffled)).nodes.map((n) => n.name);
		expect(names.indexOf("y")).toBeLessThan(names.indexOf("LeakyRelu"));
	});
});

describe("bad models", () => {
	const broken = (change: (g: Graph) => Graph) => () => readModel(writeModel(change(sample())));
	const node = (inputs: string[], outputs: string[]) => ({ op: "Add", domain: "", name: outputs[0], inputs, outputs, attributes: {} });

	it.each<[string, () => unknown, string]>([
		["empty", () => readModel(new Uint8Array()), "an empty file"],
		["not protobuf", () => readModel(new TextEncoder().encode("<!DOCTYPE html><html>")), "an ONNX model"],
		["truncated", () => readModel(tinyCnn.subarray(0, tinyCnn.length - 100)), "an ONNX model"],
		["truncated, as a file", () => readModel(source(tinyCnn.subarray(0, tinyCnn.length - 100)), { file: "/m.onnx" }), "/m.onnx"],
		["a cycle", broken((g) => ({ ...g, nodes: [...g.nodes, node(["p", "x"], ["q"]), node(["q", "x"], ["p"])] })), "cycle"],
		["a dangling name", broken((g) => ({ ...g, nodes: [...g.nodes, node(["nowhere", "x"], ["q"])] })), "'nowhere'"],
		["a value made twice", broken((g) => ({ ...g, nodes: [...g.nodes, node(["x", "x"], ["y"])] })), "second time"],
		["an output that nothing makes", broken((g) => ({ ...g, outputs: [{ name: "lost", type: "float", dims: [] }] })), "'lost'"],
		["an input made again", broken((g) => ({ ...g, nodes: [...g.nodes, node(["x", "x"], ["x"])] })), "second time"],
		["two inputs of one name", broken((g) => ({ ...g, inputs: [...g.inputs, ...g.inputs] })), "inputs with names of their own"],
		["two outputs of one name", broken((g) => ({ ...g, outputs: [...g.outputs, ...g.outputs] })), "outputs with names of their own"],
		[
			"an output without a name",
			broken((g) => ({ ...g, nodes: [...g.nodes, node(["x", "x"], [""])], outputs: [{ ...g.outputs[0], name: "" }] })),
			"''",
		],
		[
			"an initializer without a name",
			broken((g) => ({ ...g, initializers: new Map([["", floatTensor([1], [1])], ...g.initializers]) })),
			"initializers with names",
		],
		["a dim beyond 2^53", broken((g) => ({ ...g, inputs: [{ ...g.inputs[0], dims: [2 ** 60] }] })), "1152921504606846976 of 'x'"],
		["a negative dim", broken((g) => ({ ...g, outputs: [{ ...g.outputs[0], dims: [-2] }] })), "-2 of"],
		["an opset that no number holds", broken((g) => ({ ...g, opset: 2 ** 62 })), "4611686018427387904 of ''"],
		["an old opset", broken((g) => ({ ...g, opset: 9 })), "opset 9"],
		[
			"absurd dims",
			broken((g) => ({ ...g, initializers: new Map([...g.initializers, ["w", { ...floatTensor([1], [1]), dims: [2 ** 20, 2 ** 20] }]]) })),
			"bytes",
		],
		[
			"negative dims",
			broken((g) => ({ ...g, initializers: new Map([...g.initializers, ["w", { ...floatTensor([1], [1]), dims: [-1, -1] }]]) })),
			"[-1, -1]",
		],
	])("%s", (_, read, message) => {
		const error = thrown(read);
		expect(error).toBeInstanceOf(KintsugiError);
		expect(error).toMatchObject({ code: "onnx" });
		expect((error as Error).message).toContain(message);
	});

	const external = (location: string) =>
		writeModel(sample(), {
			place: (bytes, name) => (name === "w" ? { location, offset: 0, length: 12 } : "data" in bytes ? bytes.data : new Uint8Array()),
		});

	it.each(["../secret", "/etc/passwd", "a/../../b", "C:\\weights", "\\\\host\\share", "sub\\..\\..\\x"])(
		"external data at %s is refused",
		(location) => {
			expect(() => readModel(external(location), { file: "/models/m.onnx" })).toThrow("inside the model's folder");
		},
	);

	it("external data inside the folder is accepted, up to the end of its file", () => {
		const graph = readModel(external("sub/weights.bin"), { file: "/models/m.onnx", sizeOf: () => 12 });
		expect(graph.initializers.get("w")?.bytes).toEqual({ file: "/models/sub/weights.bin", offset: 0, length: 12 });
		expect(() => readModel(external("sub/weights.bin"), { file: "/models/m.onnx", sizeOf: () => 11 })).toThrow("11 bytes");
		expect(() => readModel(external("sub/weights.bin"))).toThrow("by its path");
	});

	it.each([
		["offset", "1e1"],
		["offset", "-4"],
		["offset", ""],
		["length", " 12"],
		["length", "0x0c"],
		["length", `${2 ** 60}`],
	])("an external %s of %o is refused", (key, value) => {
		const proto = fromBinary(ModelProtoSchema, external("weights.bin"));
		const entry = proto.graph?.initializer.flatMap((t) => t.externalData).find((e) => e.key === key);
		if (!entry) throw new Error("no entry");
		entry.value = value;
		expect(() => readModel(toBinary(ModelProtoSchema, proto), { file: "/models/m.onnx" })).toThrow(`${key} ${value}`);
	});

	it("damaged bytes end in an error of this project, never in another", () => {
		fc.assert(
			fc.property(
				fc.array(fc.tuple(fc.nat(tinyCnn.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
				fc.option(fc.nat(tinyCnn.length)),
				(changes, cut) => {
					const bytes = Uint8Array.from(tinyCnn.subarray(0, cut ?? tinyCnn.length));
					for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
					for (const read of [() => readModel(bytes), () => readModel(source(bytes), { file: "/m.onnx" })]) {
						const result = thrown(read);
						if (result instanceof Error) expect(result).toBeInstanceOf(KintsugiError);
					}
				},
			),
			{ numRuns: 300, seed: 3 },
		);
	});
});
