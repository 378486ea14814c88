/** @file Matrix products. */
import type { Value } from "../emit.ts";
import type { RuleContext, RuleFamily, Vjp } from "../rule.ts";
import { einsum } from "./einsum.ts";

const swapLast = ({ e }: RuleContext, x: Value) => {
	const perm = x.dims.map((_, i) => i);
	[perm[perm.length - 1], perm[perm.length - 2]] = [perm[perm.length - 2], perm[perm.length - 1]];
	return e.transpose(x, perm);
};

/** dA = dY B^T, dB = A^T dY; vectors are treated as matrices with one row or column. */
const matmul: Vjp = (c, dy) => {
	const { e } = c;
	const [va, vb] = [c.x(0), c.x(1)];
	const a = va.dims.length === 1 ? e.reshape(va, [1, va.dims[0]]) : va;
	const b = vb.dims.length === 1 ? e.reshape(vb, [vb.dims[0], 1]) : vb;
	const batch = dy.dims.slice(0, dy.dims.length - (va.dims.length > 1 ? 1 : 0) - (vb.dims.length > 1 ? 1 : 0));
	const d = e.reshape(dy, [...batch, a.dims.at(-2) ?? 1, b.dims.at(-1) ?? 1]);
	const da = () => e.reshape(e.sumTo(e.matmul(d, swapLast(c, b)), a.dims), va.dims);
	const db = () => {
		// A weight shared by all rows: one product over the flattened rows instead of a batch of products and a sum.
		if (b.dims.length === 2 && a.dims.length > 2) {
			const flat = (v: Value) =>
				e.reshape(
					v,
					[-1, v.dims.at(-1) ?? 1].map((n, i, all) => (n < 0 ? v.dims.slice(0, -1).reduce((p, q) => p * q, 1) : all[i])),
				);
			return e.reshape(e.matmul(swapLast(c, flat(a)), flat(d)), vb.dims);
		}
		return e.reshape(e.sumTo(e.matmul(swapLast(c, a), d), b.dims), vb.dims);
	};
	return [c.needs(0) ? da() : undefined, c.needs(1) ? db() : undefined];
};

/** Y = alpha A' B' + beta C, where ' is an optional transposition. */
const gemm: Vjp = (c, dy) => {
	const { e } = c;
	const [a, b] = [c.x(0), c.x(1)];
	const [ta, tb] = [c.int("transA", 0), c.int("transB", 0)];
	const [alpha, beta] = [c.float("alpha", 1), c.float("beta", 1)];
	const product = (p: Value, q: Value, transA: number, transB: number, like: Value) =>
		e.op("Gemm", [p, q], like.dims, { attributes: { transA, transB, alpha: { float: alpha } } });
	const da = () => (ta ? product(b, dy, tb, 1, a) : product(dy, b, 0, tb ? 0 : 1, a));
	const db = () => (tb ? product(dy, a, 1, ta, b) : product(a, dy, ta ? 0 : 1, 0, b));
	return [c.needs(0) ? da() : undefined, c.needs(1) ? db() : undefined, c.needs(2) ? (beta === 1 ? dy : e.mul(dy, beta)) : undefined];
};

export const linalg = {
	MatMul: { vjp: matmul },
	Gemm: { vjp: gemm },
	Einsum: { vjp: einsum },
} satisfies RuleFamily;
