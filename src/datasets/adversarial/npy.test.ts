import { describe, expect, it } from "vitest";
import { KintsugiError } from "../../errors.ts";
import { decodeNpy, encodeNpy, fromHalf, toHalf } from "./npy.ts";

describe("halves", () => {
	const halves = Array.from({ length: 0x10000 }, (_, half) => half);

	it("come back from their values, all of them", () => {
		const wrong = halves.filter((half) => {
			const value = fromHalf(half);
			return Number.isNaN(value) ? !Number.isNaN(fromHalf(toHalf(value))) : toHalf(value) !== half;
		});
		expect(wrong).toEqual([]);
	});
	it("are the nearest ones, ties to even", () => {
		const wrong = halves.slice(0, 0x7bff).filter((half) => {
			const [low, high] = [fromHalf(half), fromHalf(half + 1)];
			const even = half % 2 === 0 ? half : half + 1;
			return toHalf((3 * low + high) / 4) !== half || toHalf((low + 3 * high) / 4) !== half + 1 || toHalf((low + high) / 2) !== even;
		});
		expect(wrong).toEqual([]);
	});
	it("overflow to infinity", () => {
		expect([65504, 65519.9, 65520, -1e9].map((v) => fromHalf(toHalf(v)))).toEqual([
			65504,
			65504,
			Number.POSITIVE_INFINITY,
			Number.NEGATIVE_INFINITY,
		]);
	});
});

describe("NPY files", () => {
	it("have a header that NumPy reads, and data at a multiple of 64", () => {
		const bytes = encodeNpy(Float32Array.of(0, 0.5, -0.25, 1, 2, 3), [3, 1, 2]);
		expect(Buffer.from(bytes.subarray(1, 6)).toString()).toBe("NUMPY");
		expect(bytes.length).toBe(128 + 12);
		expect(Buffer.from(bytes.subarray(10, 128)).toString()).toMatch(
			/^\{'descr': '<f2', 'fortran_order': False, 'shape': \(3, 1, 2\), \} *\n$/,
		);
		expect(decodeNpy(bytes)).toEqual({ values: Float32Array.of(0, 0.5, -0.25, 1, 2, 3), dims: [3, 1, 2] });
		expect(decodeNpy(encodeNpy(Float32Array.of(1, 2), [2])).dims).toEqual([2]);
	});
	it.each([
		["no NPY file", new Uint8Array(200)],
		["a short one", encodeNpy(new Float32Array(4), [4]).subarray(0, 130)],
		["an empty one", new Uint8Array()],
	])("are refused: %s", (_, bytes) => {
		expect(() => decodeNpy(bytes, "x.npy")).toThrow(KintsugiError);
	});
});
