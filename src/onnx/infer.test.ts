import { describe, expect, it } from "vitest";
import { shapeRuntime } from "../runtime/index.ts";
import { freeze, graphBuilder, infer } from "./index.ts";

describe("infer", () => {
	it("tells every element type", async () => {
		const types = { int8: 3, uint16: 4, int16: 5, string: 8, uint32: 12, uint64: 13, bool: 9, double: 11, float16: 10 };
		const b = graphBuilder();
		b.input("x", "float", [2]);
		for (const [name, to] of Object.entries(types)) b.op("Cast", ["x"], { to }, { name });
		const { values } = await infer(b.build(), shapeRuntime);
		for (const name of Object.keys(types)) expect(values.get(name)).toEqual({ type: name, dims: [2] });
	});

	it("tells a scalar from a value of unknown rank, and leaves out what is no tensor", async () => {
		const b = graphBuilder();
		b.input("x", "float", [2]);
		b.op("ReduceSum", ["x"], { keepdims: 0 }, { name: "scalar" });
		b.op("ConcatFromSequence", [b.op("SequenceConstruct", ["x", "x"], {}, { name: "list" })], { axis: 0 }, { name: "joined" });
		const { values, dynamic } = await infer(b.build(), shapeRuntime);
		expect(values.get("scalar")).toEqual({ type: "float", dims: [] });
		expect(dynamic.get("joined")).toEqual({ name: "joined", type: "float", dims: ["*"] });
		expect(values.has("list") || dynamic.has("list")).toBe(false);
	});

	it("refuses values that no machine could hold", async () => {
		const b = graphBuilder();
		b.input("x", "float", [2 ** 20, 1]);
		b.output(b.op("Mul", ["x", b.op("Transpose", ["x"])], {}, { name: "y" }), "float", ["*"]);
		await expect(infer(b.build(), shapeRuntime)).rejects.toThrow("value 'y': expected at most 4294967296 elements");
	});
});

describe("freeze", () => {
	it("says that an output is no tensor", async () => {
		const b = graphBuilder();
		b.input("x", "float", [2]);
		b.output(b.op("SequenceConstruct", ["x", "x"], {}, { name: "list" }), "float", ["*"]);
		await expect(freeze(b.build(), {}, shapeRuntime)).rejects.toThrow("output 'list': expected a tensor");
	});

	it("takes names of JavaScript for names", async () => {
		const b = graphBuilder();
		b.input("constructor", "float", ["toString"]);
		b.output(b.op("Neg", ["constructor"], {}, { name: "y" }), "float", ["*"]);
		await expect(freeze(b.build(), {}, shapeRuntime)).rejects.toThrow("[toString]");
		const frozen = await freeze(b.build(), { dims: { toString: 3 } }, shapeRuntime);
		expect(frozen.outputs[0].dims).toEqual([3]);
	});
});
