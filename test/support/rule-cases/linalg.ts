/** @file Cases of matrix products and attention. */
import fc from "fast-check";
import { float } from "../../../src/onnx/index.ts";
import { type Operand, type RuleCase, x } from "../check-rule.ts";
import { broadcastable, flag, normals, type RuleCases, range, real, seed } from "./arbitraries.ts";

const size = range(1, 5);

const matmul: fc.Arbitrary<RuleCase> = fc
	.tuple(broadcastable(2), size, size, size, fc.constantFrom("matrices", "vector left", "vector right", "vectors"), seed)
	.map(([[a, b], m, k, n, kind, s]) => {
		const left = kind === "vector left" || kind === "vectors" ? [k] : [...a.slice(-2), m, k];
		const right = kind === "vector right" || kind === "vectors" ? [k] : [...b.slice(-2), k, n];
		return { op: "MatMul", inputs: [x(...left), x(...right)], linear: true, seed: s };
	});

const gemm: fc.Arbitrary<RuleCase> = fc
	.tuple(
		size,
		size,
		size,
		flag,
		flag,
		fc.constantFrom("none", "scalar", "row", "column", "vector", "matrix"),
		real(-2, 2),
		real(-2, 2),
		seed,
	)
	.map(([m, k, n, transA, transB, kind, alpha, beta, s]) => {
		const bias = { scalar: [], row: [1, n], column: [m, 1], vector: [n], matrix: [m, n] };
		const inputs = [transA ? x(k, m) : x(m, k), transB ? x(n, k) : x(k, n)];
		if (kind !== "none") inputs.push(x(...bias[kind as keyof typeof bias]));
		return { op: "Gemm", inputs, attributes: { transA, transB, alpha: float(alpha), beta: float(beta) }, linear: true, seed: s };
	});

const EQUATIONS = [
	...["ij,jk->ik", "bhid,bhjd->bhij", "bhwc,hkc->bhwk", "ij->ji", "ij->i", "ij->", "i,j->ij", "i,i->", "ij,ij->ij", "ab,bc,cd->ad"],
	...["ij,jk", "ba", "...ij,...jk->...ik", "i...->...", "ii->i", "ij,jj->i", "ab,b->ab", "abc,cb->ab"],
];

const einsum: fc.Arbitrary<RuleCase> = fc
	.tuple(fc.constantFrom(...EQUATIONS), fc.array(size, { minLength: 6, maxLength: 6 }), seed)
	.map(([equation, sizes, s]) => {
		const letters = [...new Set(equation.replaceAll(/[^a-z]/g, ""))];
		const dimsOf = (term: string) =>
			[...term.replace("...", "..")].map((letter, i) => (letter === "." ? 2 + i : sizes[letters.indexOf(letter)]));
		const terms = equation.split("->")[0].split(",");
		return { op: "Einsum", inputs: terms.map((term) => x(...dimsOf(term))), attributes: { equation }, linear: true, seed: s };
	});

const attention: fc.Arbitrary<RuleCase> = fc
	.record({
		batch: range(1, 2),
		own: range(1, 2),
		repeats: range(1, 2),
		queries: range(1, 4),
		keys: range(1, 4),
		width: range(1, 4),
		valueWidth: range(1, 4),
		flat: fc.boolean(),
		mask: fc.constantFrom("none", "constant", "differentiated"),
		is_causal: flag,
		softcap: fc.constantFrom(0, 0.8),
		scale: fc.constantFrom(undefined, 0.3),
		seed,
	})
	.map(({ batch, own, repeats, queries, keys, width, valueWidth, flat, mask, is_causal, softcap, scale, seed: s }) => {
		const heads = own * repeats;
		const operand = (n: number, length: number, w: number) => (flat ? x(batch, length, n * w) : x(batch, n, length, w));
		const bias: Operand = mask === "none" ? undefined : mask === "constant" ? normals([queries, keys], s) : x(batch, 1, queries, keys);
		return {
			op: "Attention",
			opset: 23,
			inputs: [operand(heads, queries, width), operand(own, keys, width), operand(own, keys, valueWidth), ...(bias ? [bias] : [])],
			attributes: {
				is_causal,
				softcap: float(softcap),
				...(flat ? { q_num_heads: heads, kv_num_heads: own } : {}),
				...(scale === undefined ? {} : { scale: float(scale) }),
			},
			seed: s,
		};
	});

const multiHeadAttention = fc
	.record({
		heads: range(1, 3),
		batch: range(1, 2),
		queries: range(1, 4),
		keys: range(1, 4),
		width: range(1, 4),
		valueWidth: range(1, 4),
		biased: fc.boolean(),
		s: seed,
	})
	.map(({ heads, batch, queries, keys, width, valueWidth, biased, s }): RuleCase => {
		const inputs: Operand[] = [x(batch, queries, heads * width), x(batch, keys, heads * width), x(batch, keys, heads * valueWidth)];
		const bias: Operand[] = biased ? [undefined, undefined, x(1, heads, queries, keys)] : [];
		const attributes = { num_heads: heads };
		return { op: "MultiHeadAttention", domain: "com.microsoft", opset: 21, inputs: [...inputs, ...bias], attributes, seed: s };
	});

export const linalg: RuleCases = {
	MatMul: matmul,
	Gemm: gemm,
	Einsum: einsum,
	Attention: attention,
	"com.microsoft:MultiHeadAttention": multiHeadAttention,
};
