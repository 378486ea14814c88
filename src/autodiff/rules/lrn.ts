/** @file Local response normalisation, of the first convolutional networks. */
import { floatTensor } from "../../onnx/builder.ts";
import { alongAxis } from "../adjoint.ts";
import type { Value } from "../emit.ts";
import { MAX_TABLE, type RuleContext, type RuleFamily, type Vjp } from "../rule.ts";

/** W [channels, channels]: 1 where two channels share a window. Symmetric: ONNX Runtime takes odd sizes only. */
function neighbours(c: RuleContext, channels: number, size: number): Value {
	if (channels ** 2 > MAX_TABLE) throw c.unsupported(`${channels} channels`, "normalise fewer channels");
	const near = (a: number, b: number) => Math.abs(a - b) <= (size - 1) / 2;
	const data = Float32Array.from({ length: channels ** 2 }, (_, i) => (near(Math.floor(i / channels), i % channels) ? 1 : 0));
	return c.e.cast(c.e.constant(floatTensor(data, [channels, channels])), c.x().type);
}

/** y = x s^-beta with s = bias + alpha/size W x^2: dx = dy s^-beta - 2 alpha beta/size x W (dy y / s) */
const lrn: Vjp = (c, dy) => {
	const { e, y } = c;
	const x = c.x();
	const size = c.int("size", 1);
	const [alpha, beta, bias] = [c.float("alpha", 1e-4) / size, c.float("beta", 0.75), c.float("bias", 1)];
	const window = neighbours(c, x.dims[1], size);
	const s = e.add(e.mul(alongAxis(e, e.mul(x, x), 1, window), alpha), bias);
	const spread = alongAxis(e, e.div(e.mul(dy, y), s), 1, window);
	return [e.sub(e.mul(dy, e.binary("Pow", s, -beta)), e.mul(e.mul(x, 2 * alpha * beta), spread))];
};

export const localResponse = { LRN: { vjp: lrn } } satisfies RuleFamily;
