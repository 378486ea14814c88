import { describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { assertDims, clone, full, row, sizeOf, stack, tensor, zeros } from "./tensor.ts";

describe("tensor", () => {
	it("counts elements; a scalar has one", () => {
		expect(sizeOf([2, 3, 4])).toBe(24);
		expect(sizeOf([])).toBe(1);
		expect(sizeOf([2, 0])).toBe(0);
	});

	it("shares the data it is given, and copies the dims", () => {
		const data = Float32Array.of(1, 2, 3, 4);
		const dims = [2, 2];
		const t = tensor(data, dims);
		dims[0] = 9;
		data[0] = 5;
		expect(t.dims).toEqual([2, 2]);
		expect(t.data[0]).toBe(5);
	});

	it("refuses data that does not fit the dims", () => {
		expect(() => tensor(new Float32Array(3), [2, 2])).toThrow(KintsugiError);
		expect(() => tensor(new Float32Array(3), [2, 2])).toThrow("4 elements for dims [2, 2]");
	});

	it("clones without sharing; zeros and full have every element set", () => {
		const a = full([2, 2], 3);
		const b = clone(a);
		b.data[0] = 0;
		expect([...a.data]).toEqual([3, 3, 3, 3]);
		expect([...zeros([2]).data]).toEqual([0, 0]);
	});

	it("takes a row as a view and stacks rows back", () => {
		const t = tensor(
			Float32Array.from({ length: 12 }, (_, i) => i),
			[3, 2, 2],
		);
		const second = row(t, 1);
		expect([...second.data]).toEqual([4, 5, 6, 7]);
		expect(second.data.buffer).toBe(t.data.buffer);
		expect(stack([row(t, 0), second, row(t, 2)])).toEqual(t);
	});

	it("does not stack nothing, or tensors of different dims", () => {
		expect(() => stack([])).toThrow("at least one tensor");
		expect(() => stack([zeros([2]), zeros([3])])).toThrow("dims [2]");
	});

	it("checks dims, with -1 for any size", () => {
		expect(() => assertDims("here", zeros([4, 3]), [-1, 3])).not.toThrow();
		expect(() => assertDims("here", zeros([4, 3]), [-1, 4])).toThrow("here: expected dims [any, 4], found [4, 3]");
		expect(() => assertDims("here", zeros([4]), [-1, -1])).toThrow();
	});
});
