import { expect, it } from "vitest";
import { type Dims, graphBuilder } from "./index.ts";
import { resolveDims } from "./resolve-dims.ts";

function withInputs(inputs: Record<string, Dims>) {
	const b = graphBuilder();
	for (const [name, dims] of Object.entries(inputs)) b.input(name, "float", dims);
	return b.build();
}

const clip = withInputs({ ids: ["batch", "length"], pixels: ["batch", 3, "height", "width"] });

it("a symbol is the same number everywhere, given by name or by one input's shape", () => {
	const shapes = { ids: [2, 7], pixels: [2, 3, 64, 32] };
	const all = ["ids", "pixels"];
	expect(resolveDims(clip, { dims: { batch: 2, length: 7, height: 64, width: 32 } }, all)).toEqual({ shapes, assumed: {} });
	expect(resolveDims(clip, { dims: { pixels: [2, 3, 64, 32], length: 7 } }, all)).toEqual({ shapes, assumed: {} });
	expect(() => resolveDims(clip, { dims: { batch: 4, length: 7, pixels: [2, 3, 64, 32] } }, all)).toThrow("'batch': expected one value");
});

it("a first dim that nobody gave is 1; others must be given", () => {
	const { shapes, assumed } = resolveDims(clip, { dims: { height: 64, width: 32 } }, ["pixels"]);
	expect(shapes).toEqual({ pixels: [1, 3, 64, 32] });
	expect(assumed).toEqual({ batch: 1 });
	expect(() => resolveDims(clip, { dims: { height: 64 } }, ["pixels"])).toThrow("found pixels [1, 3, 64, width]");
	expect(() => resolveDims(clip, { dims: {} }, ["pixels", "ids"])).toThrow("ids [1, length]; pixels [1, 3, height, width]");
});

it("unnamed dims and unknown ranks need a shape", () => {
	const graph = withInputs({ x: ["?", 3, "?"], y: ["*"] });
	expect(() => resolveDims(graph, {}, ["x"])).toThrow("found x [1, 3, ?]");
	expect(() => resolveDims(graph, {}, ["y"])).toThrow("found y [*]");
	const dims = { x: [2, 3, 4], y: [5] };
	expect(resolveDims(graph, { dims }, ["x", "y"])).toEqual({ shapes: dims, assumed: {} });
	expect(resolveDims(withInputs({ x: ["?", 3] }), {}, ["x"])).toEqual({ shapes: { x: [1, 3] }, assumed: { "first dim of x": 1 } });
});

it("names that the graph does not have are refused, those of inputs that are not needed are not", () => {
	expect(() => resolveDims(clip, { dims: { depth: 3 } }, ["pixels"])).toThrow("batch, length, height, width");
	expect(resolveDims(clip, { dims: { length: 9, height: 4, width: 4 } }, ["pixels"]).shapes).toEqual({ pixels: [1, 3, 4, 4] });
});
