import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { constantNumbers, floatTensor, graphBuilder } from "./index.ts";

describe("graphBuilder", () => {
	it("makes names unique and shares equal scalars and lists", () => {
		const b = graphBuilder();
		b.input("x", "float", [2]);
		expect([b.op("Add", ["x", "x"]), b.op("Add", ["x", "x"]), b.op("Add", ["x", "x"])]).toEqual(["Add", "Add_1", "Add_2"]);
		expect(b.scalar(2)).toBe(b.scalar(2));
		expect(b.scalar(0)).not.toBe(b.scalar(-0));
		expect(b.ints([1, 2])).toBe(b.ints([1, 2]));
		expect(b.build().initializers.size).toBe(4);
	});

	it("refuses a given name that is taken", () => {
		const b = graphBuilder();
		b.input("x", "float", [2]);
		expect(() => b.input("x", "float", [2])).toThrow("'x' a second time");
		expect(() => b.constant(floatTensor([1], []), "x")).toThrow("'x' a second time");
		const weight = floatTensor([1], []);
		expect(b.constant(weight, "w")).toBe(b.constant(weight, "w"));
	});

	it("extends a graph without touching it, with names of its own", () => {
		const first = graphBuilder();
		first.input("x", "float", [2]);
		first.output(first.op("Exp", ["x"]), "float", [2]);
		const graph = first.build();
		const b = graphBuilder({ extend: graph, prefix: "head/" });
		expect(b.op("Exp", ["Exp"])).toBe("head/Exp");
		expect(constantNumbers(b.build().initializers.get(b.scalar(3)) ?? floatTensor([], [0]))).toEqual([3]);
		expect(graph.nodes).toHaveLength(1);
		expect(b.build().nodes.map((n) => n.name)).toEqual(["Exp", "head/Exp"]);
	});
});

describe("kintsugi/onnx and kintsugi/autodiff run in a browser", () => {
	const sources = ["../onnx", "../autodiff", "../autodiff/rules", "../tensor"].flatMap((folder) => {
		const path = fileURLToPath(new URL(folder, import.meta.url));
		const files = readdirSync(path).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
		return files.map((name) => join(path, name));
	});

	it.each(sources)("%s imports neither Node nor a native addon", (file) => {
		const imported = [...readFileSync(file, "utf8").matchAll(/from "([^"]+)"/g)].map((m) => m[1]);
		const allowed = (name: string) => name.startsWith(".") || name === "@bufbuild/protobuf" || name === "onnx-buf";
		expect(imported.filter((name) => !allowed(name))).toEqual([]);
	});
});
