/** @file Attention of opset 23, into which exporters turn scaled dot product attention, and MultiHeadAttention of ONNX Runtime. */
import type { Value } from "../emit.ts";
import type { RuleContext, RuleFamily, Vjp } from "../rule.ts";

/** [batch, length, heads * size] -> [batch, heads, length, size]; four dims already are. */
function byHead({ e }: RuleContext, v: Value, heads: number): Value {
	if (v.dims.length === 4) return v;
	const [batch, length, width] = v.dims;
	return e.transpose(e.reshape(v, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
}

/** The inverse of `byHead`, to the dims of `like`. */
const asBefore = ({ e }: RuleContext, v: Value, like: Value): Value =>
	like.dims.length === 4 ? v : e.reshape(e.transpose(v, [0, 2, 1, 3]), like.dims);

/** Keys and values may have fewer heads than queries: each then serves several in a row. */
function repeated({ e }: RuleContext, v: Value, heads: number): Value {
	const [batch, own, length, size] = v.dims;
	if (own === heads) return v;
	return e.reshape(e.expand(e.reshape(v, [batch, own, 1, length, size]), [batch, own, heads / own, length, size]), [
		batch,
		heads,
		length,
		size,
	]);
}

/** The adjoint of `repeated`. */
function summed({ e }: RuleContext, v: Value, own: number): Value {
	const [batch, heads, length, size] = v.dims;
	if (own === heads) return v;
	const apart = e.reshape(v, [batch, own, heads / own, length, size]);
	return e.reshape(e.reduce("ReduceSum", apart, [2]), [batch, own, length, size]);
}

const swapped = ({ e }: RuleContext, v: Value) => e.transpose(v, [0, 1, 3, 2]);

/** Softmax of the scores; 0 where the mask hides a key, also in rows that see none. */
function weights(c: RuleContext, scores: Value, mask: Value | undefined): Value {
	const { e } = c;
	const softmax = (v: Value) => e.op("Softmax", [v], v.dims, { attributes: { axis: -1 } });
	const causal = () => {
		const [queries, keys] = scores.dims.slice(2).map((n) => Array.from({ length: n }, (_, i) => i));
		return e.binary("GreaterOrEqual", e.ints(queries, [queries.length, 1]), e.ints(keys, [1, keys.length]), "bool");
	};
	const visible = c.int("is_causal", 0) === 1 ? causal() : undefined;
	if (!visible && !mask) return softmax(scores);
	const least = scores.type === "float16" ? -65504 : -3e38;
	let masked = mask && mask.type !== "bool" ? e.binary("Max", e.add(scores, mask), least) : scores;
	if (mask?.type === "bool") masked = e.where(mask, masked, least);
	if (visible) masked = e.where(visible, masked, least);
	return e.where(e.binary("Greater", masked, least, "bool"), softmax(masked), 0);
}

function checkForm(c: RuleContext, dys: readonly (Value | undefined)[]): void {
	if (dys.some((dy, i) => i > 0 && dy)) throw c.unsupported("the gradient of an output other than Y", "differentiate Y");
	if (c.inputs.slice(4).some((v) => v)) throw c.unsupported("a cache or a length of keys", "export the model without a cache");
	const [mask, keys] = [c.inputs[3]?.dims.at(-1) ?? 1, c.x(1).dims.at(-2)];
	if (mask !== 1 && mask !== keys) throw c.unsupported("a mask for a part of the keys", "export the model with a full mask");
}

/** Where an operator keeps what the two have in common. */
interface Form {
	/** Heads of the queries, and of keys and values. */
	heads: number;
	own: number;
	/** Input that is added to the scores, or hides some. */
	mask: number;
	softcap: number;
}

/**
 * Y = P V with P = softmax(s), s = cap(scale Q K^T) + mask, cap(z) = softcap tanh(z / softcap):
 * dV = P^T dY, ds = P (dP - sum(dP P)) with dP = dY V^T, dQ = scale ds K, dK = scale ds^T Q.
 * sum_j dP_ij P_ij equals sum_k dY_ik Y_ik, which is shorter (Dao et al., FlashAttention, appendix B.2).
 */
function derivative(c: RuleContext, dy: Value, { heads, own, mask, softcap }: Form): (Value | undefined)[] {
	const { e } = c;
	const q = byHead(c, c.x(0), heads);
	const k = repeated(c, byHead(c, c.x(1), own), heads);
	const v = repeated(c, byHead(c, c.x(2), own), heads);
	const d = byHead(c, dy, heads);
	const scale = c.float("scale", 1 / Math.sqrt(q.dims[3]));

	const scaled = e.mul(q, scale);
	const products = e.matmul(scaled, swapped(c, k));
	const tanh = softcap > 0 ? e.unary("Tanh", e.div(products, softcap)) : undefined;
	const p = weights(c, tanh ? e.mul(tanh, softcap) : products, c.inputs[mask]);
	const back = (g: Value, i: number) => asBefore(c, summed(c, g, own), c.x(i));

	const dv = c.needs(2) ? back(e.matmul(swapped(c, p), d), 2) : undefined;
	if (![0, 1, mask].some(c.needs)) return [undefined, undefined, dv];
	const shared = e.reduce("ReduceSum", e.mul(d, byHead(c, c.y, heads)), [3]);
	const ones = e.full(-1, v.type, [...v.dims.slice(0, 3), 1]);
	const ds = e.mul(p, e.matmul(e.concat([d, shared], 3), swapped(c, e.concat([v, ones], 3))));
	const dz = tanh ? e.mul(ds, e.sub(1, e.mul(tanh, tanh))) : ds;
	const results: (Value | undefined)[] = [
		c.needs(0) ? asBefore(c, e.mul(e.matmul(dz, k), scale), c.x(0)) : undefined,
		c.needs(1) ? back(e.matmul(swapped(c, dz), scaled), 1) : undefined,
		dv,
	];
	if (c.needs(mask)) results[mask] = ds;
	return results;
}

const attentionVjp: Vjp = (c, dy, dys) => {
	checkForm(c, dys);
	const heads = c.int("q_num_heads", c.x(0).dims[1]);
	const own = c.int("kv_num_heads", c.x(1).dims[1]);
	return derivative(c, dy, { heads, own, mask: 3, softcap: c.float("softcap", 0) });
};

/** Inputs: query, key, value, bias, key_padding_mask, attention_bias, and those of a cache. */
const multiHeadAttentionVjp: Vjp = (c, dy, dys) => {
	if (dys.some((other, i) => i > 0 && other))
		throw c.unsupported("the gradient of an output other than the first", "differentiate that one");
	const given = c.inputs.flatMap((input, i) => (input && i > 2 && i !== 5 ? [i] : []));
	if (given.length > 0) throw c.unsupported(`input ${given.join(", ")}`, "add biases before, masks as attention_bias, and use no cache");
	if (c.x(0).dims.length !== 3 || c.x(1).dims.length !== 3)
		throw c.unsupported("packed queries, keys and values", "pass three inputs [batch, length, width]");
	const heads = c.int("num_heads", 1);
	return derivative(c, dy, { heads, own: heads, mask: 5, softcap: 0 });
};

export const attention = {
	Attention: { vjp: attentionVjp, stop: [4, 5, 6] },
	"com.microsoft:MultiHeadAttention": { vjp: multiHeadAttentionVjp },
} satisfies RuleFamily;
