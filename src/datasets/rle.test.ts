import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { maskToCounts, packCounts, rleToMask, unpackCounts } from "./rle.ts";

interface Case {
	name: string;
	size: [number, number];
	counts: string;
	/** `#` inside, `.` outside; a single row stands for all. */
	rows: string[];
}

const cases = JSON.parse(readFileSync(new URL("../../test/golden/rle.json", import.meta.url), "utf8")) as Case[];

describe("run-length masks", () => {
	it.each(cases)("reads and writes pycocotools' code of $name", ({ size, counts, rows }) => {
		const [height, width] = size;
		const mask = Uint8Array.from({ length: height * width }, (_, at) => {
			const row = rows[rows.length === 1 ? 0 : Math.floor(at / width)];
			return row[at % width] === "#" ? 1 : 0;
		});
		expect(rleToMask({ size, counts })).toEqual(mask);
		expect(packCounts(maskToCounts(mask, height, width))).toBe(counts);
	});

	it("gives any runs back", () => {
		fc.assert(
			fc.property(fc.array(fc.nat(100_000), { minLength: 1 }), (counts) => {
				expect(unpackCounts(packCounts(counts))).toEqual(counts);
			}),
		);
	});

	it("gives any mask back, packed or not", () => {
		fc.assert(
			fc.property(
				fc.integer({ min: 1, max: 9 }),
				fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 9, maxLength: 60 }),
				(width, bits) => {
					const height = Math.floor(bits.length / width);
					const mask = Uint8Array.from(bits.slice(0, height * width));
					const counts = maskToCounts(mask, height, width);
					expect(rleToMask({ size: [height, width], counts })).toEqual(mask);
					expect(rleToMask({ size: [height, width], counts: packCounts(counts) })).toEqual(mask);
				},
			),
		);
	});

	it("refuses runs that do not fill the mask", () => {
		expect(() => rleToMask({ size: [2, 2], counts: [1, 2] })).toThrow(/fill 2 x 2 pixels, found 3/);
		expect(() => rleToMask({ size: [2, 2], counts: [6, -2] })).toThrow(/run-length mask/);
	});
});
