import { describe, expect, it } from "vitest";
import { philox, random } from "./random.ts";

describe("Philox4x32-10", () => {
	// kat_vectors of Random123 (Salmon et al. 2011): counter, key, result.
	it.each([
		[
			[0, 0, 0, 0],
			[0, 0],
			[0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
		],
		[
			[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
			[0xffffffff, 0xffffffff],
			[0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
		],
		[
			[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
			[0xa4093822, 0x299f31d0],
			[0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
		],
	])("known answer for counter %o", (counter, [key0, key1], expected) => {
		expect([...philox(Uint32Array.from(counter), key0, key1)]).toEqual(expected);
	});
});

describe("random", () => {
	it("gives equal streams for equal keys and other streams for other keys", () => {
		const a = random(1, "image", "pgd", 0).uniforms(100);
		expect(random(1, "image", "pgd", 0).uniforms(100)).toEqual(a);
		for (const key of [
			[2, "image", "pgd", 0],
			[1, "imagf", "pgd", 0],
			[1, "image", "pgd", 1],
			[1, "image", "pgd"],
		]) {
			expect(random(...key).uniforms(100)).not.toEqual(a);
		}
		// The number 1 and the text "1" are different keys.
		expect(random("1").uniform()).not.toBe(random(1).uniform());
	});

	it("keeps its first draws: saved experiments depend on them", () => {
		const r = random("golden", 7);
		expect([r.uniform(), r.uniform()]).toMatchInlineSnapshot(`
			[
			  0.412875855807215,
			  0.005100263981148601,
			]
		`);
		expect([...random("golden", 8).normals(3)]).toMatchInlineSnapshot(`
			[
			  -1.0356796979904175,
			  -0.4570848047733307,
			  -0.6687353253364563,
			]
		`);
	});

	it("draws uniforms in [low, high) with the right mean and variance", () => {
		const u = random("u").uniforms(20_000, -1, 3);
		expect(Math.min(...u)).toBeGreaterThanOrEqual(-1);
		expect(Math.max(...u)).toBeLessThan(3);
		const mean = u.reduce((a, b) => a + b) / u.length;
		expect(mean).toBeCloseTo(1, 1);
		expect(u.reduce((a, b) => a + (b - mean) ** 2, 0) / u.length).toBeCloseTo(16 / 12, 1);
	});

	it("draws standard normals: moments up to the fourth", () => {
		const z = random("z").normals(40_000);
		const moment = (k: number) => z.reduce((a, b) => a + b ** k, 0) / z.length;
		expect(Math.abs(moment(1))).toBeLessThan(0.02);
		expect(Math.abs(moment(2) - 1)).toBeLessThan(0.03);
		expect(Math.abs(moment(3))).toBeLessThan(0.06);
		expect(Math.abs(moment(4) - 3)).toBeLessThan(0.15);
	});

	it("draws every integer of a range equally often", () => {
		const r = random("int");
		const counts = new Array<number>(6).fill(0);
		for (let i = 0; i < 12_000; i++) counts[r.int(6)]++;
		for (const n of counts) expect(Math.abs(n - 2000)).toBeLessThan(200);
	});

	it("shuffles into a permutation and leaves the original alone", () => {
		const items = Array.from({ length: 50 }, (_, i) => i);
		const mixed = random("s").shuffled(items);
		expect(mixed).not.toEqual(items);
		expect([...mixed].sort((a, b) => a - b)).toEqual(items);
		expect(items[0]).toBe(0);
		expect(items).toContain(random("p").pick(items));
	});

	it("draws one value at a time as it draws many", () => {
		const one = random("n");
		expect(Float32Array.from({ length: 5 }, () => one.normal())).toEqual(random("n").normals(5));
	});
});
