/** @file Rules against jax-js, an independent implementation of automatic differentiation, at random shapes, attributes and values. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RuleCase, ruleGraph } from "../../test/support/check-rule.ts";
import { JAX_OPERATORS, runJax } from "../../test/support/jax/index.ts";
import { RULE_CASES } from "../../test/support/rule-cases/index.ts";
import { openSession } from "../runtime/index.ts";
import { random } from "../tensor/random.ts";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { cotangentName, gradientName } from "./index.ts";

const RUNS = Number(process.env.KINTSUGI_RUNS ?? 5);
const TOLERANCE = 1e-4;
/** Values and cotangents are of the order of 1: below this a gradient is rounding. */
const FLOOR = 0.1;

/** Largest difference over the largest value. */
function difference(a: Tensor, b: Tensor): number {
	const size = b.data.reduce((m, v) => Math.max(m, Math.abs(v)), FLOOR);
	return a.data.reduce((m, v, i) => Math.max(m, Math.abs(v - b.data[i])), 0) / size;
}

async function agree(op: string, c: RuleCase): Promise<void> {
	const { gradient, of, feeds } = await ruleGraph(c);
	const dims = gradient.inputs.find((v) => v.name === cotangentName(of))?.dims.map(Number) ?? [];
	const cotangent = tensor(random("cotangent", c.seed ?? 0).normals(sizeOf(dims)), dims);
	const session = await openSession(gradient);
	const results = await session.run({ ...feeds, [cotangentName(of)]: cotangent });
	await session.close();
	const { y, gradients } = await runJax(JAX_OPERATORS[op], c, feeds, cotangent);
	const expected = { [of]: y, ...Object.fromEntries(Object.entries(gradients).map(([name, t]) => [gradientName(name), t])) };
	for (const [name, t] of Object.entries(expected)) {
		expect(t.dims, name).toEqual(results[name].dims);
		expect(difference(results[name] as Tensor, t), `${name} of ${op}`).toBeLessThan(TOLERANCE);
	}
}

/** What jax-js has not. */
const WITHOUT = ["GridSample", "Resize"];

describe("rules agree with jax-js", () => {
	it("all but two are compared", () => {
		expect([...Object.keys(JAX_OPERATORS), ...WITHOUT].sort()).toEqual(Object.keys(RULE_CASES).sort());
	});

	it.each(Object.keys(JAX_OPERATORS))("%s", (op) =>
		fc.assert(
			fc.asyncProperty(RULE_CASES[op], (c) => agree(op, c)),
			{ numRuns: RUNS, seed: 41 },
		),
	);
});
