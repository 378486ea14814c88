import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkRule, x } from "../../../test/support/check-rule.ts";
import { graphBuilder, infer } from "../../onnx/index.ts";
import { shapeRuntime } from "../../runtime/index.ts";
import { vjp } from "../index.ts";

const check = (equation: string, ...dims: number[][]) =>
	checkRule({ op: "Einsum", inputs: dims.map((d) => x(...d)), attributes: { equation }, linear: true });

describe("Einsum", () => {
	it.each<[string, ...number[][]]>([
		["ij,jk->ik", [2, 3], [3, 4]],
		["bhid,bhjd->bhij", [2, 2, 3, 4], [2, 2, 5, 4]],
		["bhwc,hkc->bhwk", [2, 3, 4, 5], [3, 6, 5]],
		["ij,jk,kl->il", [2, 3], [3, 4], [4, 5]],
		["ij->ji", [2, 3]],
		[" i j , j k -> i k ", [2, 3], [3, 4]],
		[",i->i", [], [3]],
	])("%s", check);

	it.each<[string, ...number[][]]>([
		["...ij,...jk->...ik", [2, 3, 4], [2, 4, 5]],
		["...ij,...jk->...ik", [1, 3, 4], [6, 4, 5]],
		["...ij,...jk->...ik", [2, 1, 3, 4], [1, 5, 4, 2]],
		["...ij,jk->...ik", [2, 5, 3, 4], [4, 5]],
		["...i,...i->...", [2, 3], [2, 3]],
		["i...->...", [3, 2]],
		["i...j->ij...", [2, 5, 3]],
	])("%s, an ellipsis", check);

	it.each<[string, ...number[][]]>([
		["ii->i", [3, 3]],
		["ii->", [3, 3]],
		["iii->i", [3, 3, 3]],
		["bii->b", [2, 3, 3]],
		["iij,jk->ik", [3, 3, 2], [2, 4]],
		["ij,jj->ij", [2, 3], [3, 3]],
		["...ii->...i", [2, 3, 3]],
	])("%s, a diagonal", check);

	it.each<[string, ...number[][]]>([
		["ij->", [2, 3]],
		["ij->i", [2, 3]],
		["ij,k->i", [2, 3], [4]],
	])("%s, letters that only one operand has", check);

	it.each<[string, ...number[][]]>([
		["ij,jk", [2, 3], [3, 4]],
		["ba", [2, 3]],
		["...ij,...jk", [2, 2, 3], [2, 3, 4]],
	])("%s, without an output", check);

	it("any two terms", () => {
		const term = fc.array(fc.constantFrom(..."abcd"), { minLength: 1, maxLength: 3 });
		return fc.assert(
			fc.asyncProperty(
				term,
				term,
				fc.subarray([..."abcd"]),
				fc.array(fc.integer({ min: 2, max: 4 }), { minLength: 4, maxLength: 4 }),
				(a, b, kept, sizes) => {
					const output = kept.filter((letter) => a.includes(letter) || b.includes(letter));
					const dims = (letters: string[]) => letters.map((letter) => sizes["abcd".indexOf(letter)]);
					return check(`${a.join("")},${b.join("")}->${output.join("")}`, dims(a), dims(b));
				},
			),
			{ numRuns: 40, seed: 6 },
		);
	});

	it("refuses letters that are broadcast, whose dims ONNX Runtime infers wrong", async () => {
		const b = graphBuilder();
		for (const [name, width] of [
			["p", 1],
			["q", 4],
		] as const)
			b.input(name, "float", [2, width]);
		b.output(b.op("Einsum", ["p", "q"], { equation: "ij,ij->ij" }, { name: "y" }), "float", ["*"]);
		const graph = await infer(b.build(), shapeRuntime);
		expect(() => vjp(graph, { of: ["y"], wrt: ["q"] })).toThrow("broadcast letters");
	});
});
