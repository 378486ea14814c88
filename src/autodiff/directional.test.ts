import { describe, expect, it } from "vitest";
import { random } from "../tensor/random.ts";
import { checkLine, type Line, onGrid } from "./directional.ts";

/** A line over a function of one variable and what somebody claims to be its slope. */
const along =
	(f: (t: number) => number, slope: (t: number) => number): Line =>
	async (t) => ({ value: f(t), slope: slope(t) });

/** A sum of ReLUs with kinks everywhere, as a deep network of them has along any line. */
function rough(kinks: number, share = 1) {
	const draw = random("kinks", kinks);
	const parts = Array.from({ length: kinks }, () => ({ at: draw.uniforms(1, -0.07, 0.07)[0], weight: draw.normal() }));
	const f = (t: number) => 3 * t + parts.reduce((sum, { at, weight }) => sum + weight * Math.max(0, t - at), 0);
	const slope = (t: number) => share * (3 + parts.reduce((sum, { at, weight }) => sum + (t > at ? weight : 0), 0));
	return along(f, slope);
}

describe("checkLine", () => {
	it("agrees where the slope is right, with an error far below the tolerance", async () => {
		const check = await checkLine(along(Math.exp, Math.exp));
		expect(check.verdict).toBe("agrees");
		expect(check.error).toBeLessThan(1e-6);
		expect(check.numeric).toBeCloseTo(1, 2);
	});

	it.each([1, 10, 100, 1000])("takes no offence at %i kinks", async (kinks) => {
		expect((await checkLine(rough(kinks))).verdict).toBe("agrees");
	});

	it.each([
		["a slope that is 1 % too steep", along(Math.exp, (t) => 1.01 * Math.exp(t))],
		["a slope of the wrong sign", along(Math.sin, (t) => -Math.cos(t))],
		["no slope at all", along(Math.sin, () => 0)],
		["a slope 5 % too flat among a hundred kinks", rough(100, 0.95)],
		[
			"a function that jumps where its slope is zero",
			along(
				(t) => Math.round(t * 100),
				() => 0,
			),
		],
		["a slope that is not a number", along(Math.sin, () => Number.NaN)],
	])("disagrees with %s", async (_, line) => {
		expect((await checkLine(line)).verdict).toBe("disagrees");
	});

	it("steps around a jump, but not around a wrong slope beside it", async () => {
		const jump = (t: number) => (t > 0.003 ? 1 : 0);
		const value = (t: number) => Math.sin(t) + jump(t);
		const check = await checkLine(along(value, Math.cos));
		expect(check).toMatchObject({ verdict: "agrees", step: 2 ** -10 });
		const wrong = await checkLine(along(value, (t) => 1.01 * Math.cos(t)));
		expect(wrong).toMatchObject({ verdict: "disagrees", step: 2 ** -10 });
		const here = await checkLine(along((t) => Math.sin(t) + jump(t + 0.003), Math.cos));
		expect(here).toMatchObject({ verdict: "unclear", step: 2 ** -13 });
	});

	it("does not decide where rounding hides the slope", async () => {
		const draw = random("noise");
		const line = along(
			(t) => 1000 + 1e-6 * t + 1e-4 * draw.normal(),
			() => 1e-6,
		);
		const check = await checkLine(line, { floor: 1e-6 });
		expect(check.verdict).toBe("unclear");
		expect(check.uncertainty).toBeGreaterThan(0.1);
	});

	it("is the same in any unit", async () => {
		const plain = await checkLine(along(Math.sin, Math.cos));
		const scaled = await checkLine(
			along(
				(t) => Math.sin(t / 256),
				(t) => Math.cos(t / 256) / 256,
			),
			{ scale: 256 },
		);
		expect(scaled.step).toBe(256 * plain.step);
		expect(scaled.error).toBeCloseTo(plain.error, 12);
	});

	it("takes a constant function for one whose gradient is zero", async () => {
		expect(
			await checkLine(
				along(
					() => 0,
					() => 0,
				),
			),
		).toMatchObject({ verdict: "agrees", error: 0 });
	});
});

it("onGrid leaves room for steps that are exact in float32", () => {
	const x = onGrid(random("x").uniforms(1000, -8, 8));
	for (const step of [2 ** -4, 2 ** -16, 2 ** -18]) {
		const moved = x.map((value) => value + step);
		expect([...moved].map((value, i) => value - x[i])).toEqual(Array(1000).fill(step));
	}
});
