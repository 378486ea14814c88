import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { full, type Tensor, tensor } from "../tensor/tensor.ts";
import {
	areaShare,
	binary,
	components,
	composite,
	dilate,
	erode,
	feather,
	fullMask,
	intersection,
	invert,
	maskBox,
	maskFromBoxes,
	resizeMask,
	union,
} from "./mask.ts";

const size = { height: 12, width: 16 };
const draw = (...rows: string[]): Tensor =>
	tensor(
		Float32Array.from([...rows.join("")], (v) => Number(v !== ".")),
		[1, rows.length, rows[0].length],
	);
const show = (mask: Tensor) =>
	Array.from({ length: mask.dims[1] }, (_, y) =>
		[...mask.data.slice(y * mask.dims[2], (y + 1) * mask.dims[2])].map((v) => (v ? "#" : ".")).join(""),
	);
const someMask = fc
	.array(
		fc.tuple(
			fc.double({ min: -4, max: 16, noNaN: true }),
			fc.double({ min: -4, max: 12, noNaN: true }),
			fc.double({ min: 0, max: 9, noNaN: true }),
			fc.double({ min: 0, max: 9, noNaN: true }),
		),
		{ maxLength: 4 },
	)
	.map((boxes) => maskFromBoxes(boxes, size));

describe("boxes", () => {
	it("are rounded outward, cut, padded and united", () => {
		expect(show(maskFromBoxes([[1.2, 0, 1, 1]], { height: 2, width: 4 }))).toEqual([".##.", "...."]);
		expect(show(maskFromBoxes([[1, 1, 1, 1]], { height: 4, width: 4 }, { padding: 1 }))).toEqual(["###.", "###.", "###.", "...."]);
		expect(
			show(
				maskFromBoxes(
					[
						[-3, -3, 4, 4],
						[3, 2, 50, 50],
					],
					{ height: 3, width: 4 },
				),
			),
		).toEqual(["#...", "....", "...#"]);
		expect(
			areaShare(
				maskFromBoxes(
					[
						[20, 3, 5, 5],
						[-9, 0, 5, 3],
						[3, -9, 3, 4],
					],
					size,
				),
			),
		).toBe(0);
		expect(areaShare(maskFromBoxes([], size))).toBe(0);
	});

	it("do not grow by the noise of arithmetic", () => {
		expect(maskBox(maskFromBoxes([[2.9999999999, 3.0000000001, 4, 4]], size))).toEqual([3, 3, 4, 4]);
	});

	it("come back from a mask", () => {
		expect(
			maskBox(
				maskFromBoxes(
					[
						[2, 1, 3, 4],
						[7, 3, 2, 5],
					],
					size,
				),
			),
		).toEqual([2, 1, 7, 7]);
		expect(maskBox(fullMask(size, 0))).toBeUndefined();
		expect(maskBox(fullMask(size))).toEqual([0, 0, 16, 12]);
	});
});

describe("set operations", () => {
	it("obey de Morgan and cover what they should", () => {
		fc.assert(
			fc.property(someMask, someMask, (a, b) => {
				expect(invert(union(a, b))).toEqual(intersection(invert(a), invert(b)));
				expect(areaShare(union(a, b)) + areaShare(intersection(a, b))).toBeCloseTo(areaShare(a) + areaShare(b), 5);
			}),
		);
	});

	it("split a mask into its parts and lose nothing", () => {
		fc.assert(
			fc.property(someMask, (mask) => {
				const parts = components(mask);
				expect(parts.length === 0 ? fullMask(size, 0) : union(parts[0], ...parts.slice(1))).toEqual(mask);
				for (const part of parts) expect(components(part)).toHaveLength(1);
			}),
		);
		expect(components(draw("##..", "..#.", "....", "#..#"))).toHaveLength(3);
	});
});

describe("shape", () => {
	it("grows by a disc", () => {
		expect(show(dilate(draw(".....", ".....", "..#..", ".....", "....."), 1))).toEqual([".....", "..#..", ".###.", "..#..", "....."]);
		expect(show(dilate(draw(".....", ".....", "..#..", ".....", "....."), 2))).toEqual(["..#..", ".###.", "#####", ".###.", "..#.."]);
		expect(dilate(fullMask(size, 0), 5)).toEqual(fullMask(size, 0));
	});

	it("equals the definition by distance, and grows with the radius", () => {
		fc.assert(
			fc.property(someMask, fc.double({ min: 0, max: 5, noNaN: true }), (mask, radius) => {
				const { data } = dilate(mask, radius);
				for (let i = 0; i < data.length; i++) {
					let near = false;
					for (let j = 0; j < data.length && !near; j++) {
						near = mask.data[j] > 0 && ((i % 16) - (j % 16)) ** 2 + (Math.floor(i / 16) - Math.floor(j / 16)) ** 2 <= radius * radius;
					}
					if (data[i] > 0 !== near) return false;
				}
				return true;
			}),
			{ numRuns: 25 },
		);
	});

	it("shrinks a mask inside the picture, not at its border", () => {
		expect(show(erode(draw("###..", "###..", "###..", "....."), 1))).toEqual(["##...", "##...", ".....", "....."]);
	});

	it("fades outward and leaves the inside and the far away alone", () => {
		const mask = maskFromBoxes([[6, 4, 3, 3]], size);
		const soft = feather(mask, 3);
		expect([...soft.data.slice(5 * 16, 6 * 16)]).toEqual([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0]);
		expect(binary(soft, 1)).toEqual(mask);
		expect(binary(soft, 1e-9)).toEqual(dilate(mask, 3));
	});

	it("is resized as diffusers does it", () => {
		expect(show(resizeMask(draw("#.#.", "....", "##..", "...."), { height: 2, width: 2 }))).toEqual(["##", "#."]);
		expect(show(resizeMask(draw("#.", ".#"), { height: 4, width: 4 }))).toEqual(["##..", "##..", "..##", "..##"]);
	});
});

describe("composite", () => {
	const base = tensor(random("base").uniforms(3 * 192), [3, 12, 16]);
	const painted = tensor(random("painted").uniforms(3 * 192), [3, 12, 16]);

	it("keeps every bit outside the mask and takes every bit inside", () => {
		const mask = maskFromBoxes([[3, 2, 6, 5]], size);
		const out = composite(base, painted, mask);
		for (const [i, v] of out.data.entries()) expect(v).toBe((mask.data[i % 192] ? painted : base).data[i]);
	});

	it("blends where the mask is soft", () => {
		const out = composite(full([3, 12, 16], 0.2), full([3, 12, 16], 0.6), full([1, 12, 16], 0.25));
		for (const v of out.data) expect(v).toBeCloseTo(0.3, 6);
		expect(() => composite(base, painted, fullMask({ height: 6, width: 8 }))).toThrow(
			/mask: expected dims \[1, 12, 16\], found \[1, 6, 8\]/,
		);
	});
});
