import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { freeze, graphBuilder, infer } from "../onnx/index.ts";
import { openSession, readModelFile, shapeRuntime } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import { type Loss, lossGradientGraph } from "./index.ts";

/** The derivative of a loss that is smooth around z. */
const differentiated =
	(f: (z: number[], t: number[]) => number) =>
	(z: number[], t: number[]): { loss: number; gradient: number[] } => {
		const moved = (k: number, by: number) =>
			f(
				z.map((v, i) => (i === k ? v + by : v)),
				t,
			);
		return { loss: f(z, t), gradient: z.map((_, k) => (moved(k, 1e-6) - moved(k, -1e-6)) / 2e-6) };
	};

const descending = (z: number[]) => [...z].sort((a, b) => b - a);

/** loss and d loss / d z of one image, from the definitions at `LossName`, in float64. */
const REFERENCE: Record<Loss, (z: number[], t: number[], thresholds: number[]) => { loss: number; gradient: number[] }> = {
	"cross-entropy"(z, t) {
		const top = Math.max(...z);
		const total = z.reduce((s, v) => s + Math.exp(v - top), 0);
		const log = z.map((v) => v - top - Math.log(total));
		const mass = t.reduce((a, b) => a + b, 0);
		return { loss: -t.reduce((s, v, k) => s + v * log[k], 0), gradient: log.map((l, k) => mass * Math.exp(l) - t[k]) };
	},
	"set-cross-entropy"(z, t) {
		const top = Math.max(...z);
		const exp = z.map((v) => Math.exp(v - top));
		const all = exp.reduce((a, b) => a + b, 0);
		const wanted = exp.reduce((s, v, k) => s + v * t[k], 0);
		return { loss: Math.log(all) - Math.log(wanted), gradient: exp.map((v, k) => v / all - (t[k] * v) / wanted) };
	},
	bce(z, t, thresholds) {
		const p = z.map((v, k) => 1 / (1 + Math.exp(thresholds[k] - v)));
		const loss = p.reduce((s, v, k) => s - t[k] * Math.log(v) - (1 - t[k]) * Math.log(1 - v), 0);
		return { loss, gradient: p.map((v, k) => v - t[k]) };
	},
	margin(z, t) {
		const best = Math.max(...z.filter((_, k) => t[k] === 0));
		const worst = Math.min(...z.filter((_, k) => t[k] === 1));
		return { loss: best - worst, gradient: z.map((v, k) => (t[k] === 0 ? Number(v === best) : -Number(v === worst))) };
	},
	"set-margin"(z, t) {
		const [best, own] = [0, 1].map((side) => Math.max(...z.filter((_, k) => t[k] === side)));
		return { loss: best - own, gradient: z.map((v, k) => (t[k] === 0 ? Number(v === best) : -Number(v === own))) };
	},
	ranking(z, t) {
		const others = descending(z.filter((_, k) => t[k] === 0));
		const last = others[Math.min(2, others.length - 1)];
		const best = Math.max(...z.filter((_, k) => t[k] === 1));
		return { loss: last - best, gradient: z.map((v, k) => (t[k] === 0 ? Number(v === last) : -Number(v === best))) };
	},
	linear: (z, t) => ({ loss: z.reduce((s, v, k) => s + v * t[k], 0), gradient: t }),
	dlr: differentiated((z, t) => {
		const [first, , third] = descending(z);
		const [best, own] = [0, 1].map((side) => Math.max(...z.filter((_, k) => t[k] === side)));
		return (best - own) / (first - third + 1e-12);
	}),
	"dlr-targeted": differentiated((z, t) => {
		const [first, , third, fourth] = descending(z);
		return -(Math.max(...z.filter((_, k) => t[k] === 1)) - z[t.indexOf(-1)]) / (first - 0.5 * (third + fourth) + 1e-12);
	}),
};

/** Targets of one image as the loss expects them, from zeros and ones of which the first is 1 and the second 0. */
const MEANT: Partial<Record<Loss, (t: number[]) => number[]>> = {
	linear: (t) => t.map((v, k) => v * (k - 1.5)),
	"dlr-targeted": (t) => t.map((v, k) => (k === 1 ? -1 : v)),
};

const N = 3;
const K = 4;

/** A classifier whose logits are its input, so that the gradient is that of the loss. */
async function identity(loss: Loss, thresholds?: Float32Array) {
	const b = graphBuilder();
	b.input("x", "float", [N, K]);
	b.output(b.op("Identity", ["x"], {}, { name: "scores" }), "float", [N, K]);
	const graph = await infer(b.build(), shapeRuntime);
	return openSession(lossGradientGraph(graph, { input: "x", logits: "scores", loss, ...(thresholds ? { thresholds } : {}) }));
}

const rows = (t: Tensor) => Array.from({ length: N }, (_, i) => [...t.data.slice(i * K, (i + 1) * K)]);

describe("losses", () => {
	it.each(Object.keys(REFERENCE) as Loss[])("%s and its gradient, image by image", async (loss) => {
		const thresholds = Float32Array.of(0.5, -1, 0, 2);
		const session = await identity(loss, loss === "bce" ? thresholds : undefined);
		await fc.assert(
			fc.asyncProperty(fc.nat(1000), async (seed) => {
				const x = tensor(
					random("z", seed)
						.normals(N * K)
						.map((v) => 3 * v),
					[N, K],
				);
				// At least one label is wanted and one is not.
				const drawn = random("t", seed)
					.uniforms(N * K)
					.map((v, i) => (i % K === 0 ? 1 : i % K === 1 ? 0 : Number(v > 0.5)));
				const meant = rows(tensor(drawn, [N, K])).flatMap(MEANT[loss] ?? ((t) => t));
				const targets = tensor(Float32Array.from(meant), [N, K]);
				const results = await session.run({ x, targets });
				expect(results.logits.data).toEqual(x.data);
				rows(x).forEach((z, i) => {
					const expected = REFERENCE[loss](z, rows(targets)[i], [...thresholds]);
					expect(results.loss.data[i]).toBeCloseTo(expected.loss, 4);
					rows(results.gradient as Tensor)[i].forEach((g, k) => {
						expect(Math.abs(g - expected.gradient[k])).toBeLessThan(1e-5 * Math.max(1, ...expected.gradient.map(Math.abs)));
					});
				});
			}),
			{ numRuns: 20, seed: 1 },
		);
		await session.close();
	});

	it("stays finite for logits far from zero", async () => {
		for (const loss of ["cross-entropy", "set-cross-entropy", "bce"] as const) {
			const session = await identity(loss);
			const x = tensor(
				Float32Array.from({ length: N * K }, (_, i) => (i % 2 === 0 ? 500 : -500)),
				[N, K],
			);
			const { loss: value, gradient } = await session.run({ x, targets: tensor(new Float32Array(N * K).fill(1), [N, K]) });
			expect([...value.data, ...gradient.data].every((v) => Number.isFinite(Number(v)))).toBe(true);
			await session.close();
		}
	});

	it("has the promised names even if the model uses them itself", async () => {
		const b = graphBuilder();
		b.input("x", "float", [1, 2]);
		const inner = b.op("Exp", [b.op("Neg", ["x"], {}, { name: "gradient" })], {}, { name: "logits" });
		b.output(b.op("Mul", [inner, b.scalar(2)], {}, { name: "targets" }), "float", [1, 2]);
		const graph = await infer(b.build(), shapeRuntime);
		const result = lossGradientGraph(graph, { input: "x", logits: "targets", loss: "cross-entropy" });
		const session = await openSession(result);
		expect(session.inputs.map((v) => v.name)).toEqual(["x", "targets"]);
		expect(session.outputs.map((v) => v.name)).toEqual(["loss", "logits", "gradient"]);
		await session.close();
	});

	it("works on a real classifier: a step along the gradient raises the loss of every image", async () => {
		const file = fileURLToPath(new URL("../../test/golden/tiny-cnn.onnx", import.meta.url));
		const frozen = await freeze(readModelFile(file), { dims: { batch: 4 } }, shapeRuntime);
		const session = await openSession(lossGradientGraph(frozen, { input: "x", logits: "logits", loss: "cross-entropy" }));
		const x = tensor(random("x").uniforms(4 * 3 * 16 * 16), [4, 3, 16, 16]);
		const targets = zeros([4, 10]);
		for (let i = 0; i < 4; i++) targets.data[i * 10 + i] = 1;
		const before = await session.run({ x, targets });
		const step = tensor(
			x.data.map((v, i) => v + 1e-3 * Math.sign(Number(before.gradient.data[i]))),
			x.dims,
		);
		const after = await session.run({ x: step, targets });
		for (let i = 0; i < 4; i++) expect(Number(after.loss.data[i])).toBeGreaterThan(Number(before.loss.data[i]));
		await session.close();
	});

	it("ranks for the k that is asked for: the loss is positive where no wanted label is among the top k", async () => {
		const b = graphBuilder();
		b.input("x", "float", [4, 6]);
		b.output(b.op("Identity", ["x"], {}, { name: "scores" }), "float", [4, 6]);
		const graph = await infer(b.build(), shapeRuntime);
		const x = tensor(Float32Array.from(Array.from({ length: 4 }, () => [6, 5, 4, 3, 2, 1]).flat()), [4, 6]);
		const targets = tensor(Float32Array.of(0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1), [4, 6]);
		for (const [k, expected] of [
			[1, [2, 2, -1, 5]],
			[2, [1, 1, -2, 4]],
			[3, [-1, -2, -3, 3]],
			[9, [-3, -3, -4, 1]],
		] as const) {
			const session = await openSession(lossGradientGraph(graph, { input: "x", logits: "scores", loss: "ranking", k }));
			const { loss, gradient } = await session.run({ x, targets });
			expect([...loss.data]).toEqual(expected);
			expect([...(gradient as Tensor).data.slice(0, 6)].reduce((a, v) => a + v, 0)).toBe(0);
			await session.close();
		}
	});

	it("refuses a ratio of more labels than there are", async () => {
		const b = graphBuilder();
		b.input("x", "float", [2, 3]);
		b.output(b.op("Identity", ["x"], {}, { name: "y" }), "float", [2, 3]);
		const graph = await infer(b.build(), shapeRuntime);
		expect(() => lossGradientGraph(graph, { input: "x", logits: "y", loss: "dlr-targeted" })).toThrow("at least 4 labels");
	});

	it("refuses logits that are not [N, K], and thresholds of another length", async () => {
		const b = graphBuilder();
		b.input("x", "float", [2, 3, 4]);
		b.output(b.op("Identity", ["x"], {}, { name: "y" }), "float", [2, 3, 4]);
		const graph = await infer(b.build(), shapeRuntime);
		expect(() => lossGradientGraph(graph, { input: "x", logits: "y", loss: "bce" })).toThrow("float [N, K]");
		await expect(identity("bce", new Float32Array(3))).rejects.toThrow("one threshold a label");
	});
});
