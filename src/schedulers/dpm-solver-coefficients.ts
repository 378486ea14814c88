/** @file The weights of one step of DPM-Solver, by algorithm, order and kind of second-order step. */
import { z } from "zod";
import type { Scales } from "./sample.ts";

export const dpmFields = {
	algorithm_type: z.enum(["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"]).default("dpmsolver++"),
	/** How a step of order 2 reads the slope: midpoint halves it, heun integrates it. */
	solver_type: z.enum(["midpoint", "heun"]).default("midpoint"),
};

const schema = z.object(dpmFields);

export interface DpmCoefficients {
	ofSample: number;
	/** Of the converted outputs, newest first. */
	ofOutputs: number[];
	ofNoise: number;
}

const lambda = ({ a, b }: Scales) => Math.log(a) - Math.log(b);

/**
 * A step to `points[0]` from `points[1]`; the points behind it are those of earlier outputs, so there are order + 1 points.
 * With h the step in lambda, the outputs are expanded in divided differences D0, D1, D2, whose weights are the integrals of
 * appendix B of "DPM-Solver++" (data prediction) and of appendix B of "DPM-Solver" (noise prediction).
 */
export function dpmCoefficients(
	{ algorithm_type: algorithm, solver_type }: z.infer<typeof schema>,
	points: readonly Scales[],
): DpmCoefficients {
	const [to, from] = points;
	const h = lambda(to) - lambda(from);
	const midpoint = points.length === 3 && solver_type === "midpoint";
	const { ofSample, ofNoise, scale, exponent } = {
		"dpmsolver++": { ofSample: to.b / from.b, ofNoise: 0, scale: -to.a, exponent: -h },
		dpmsolver: { ofSample: to.a / from.a, ofNoise: 0, scale: -to.b, exponent: h },
		"sde-dpmsolver++": {
			ofSample: (to.b / from.b) * Math.exp(-h),
			ofNoise: to.b * Math.sqrt(-Math.expm1(-2 * h)),
			scale: -to.a,
			exponent: -2 * h,
		},
		"sde-dpmsolver": { ofSample: to.a / from.a, ofNoise: to.b * Math.sqrt(Math.expm1(2 * h)), scale: -2 * to.b, exponent: h },
	}[algorithm];
	const grown = Math.expm1(exponent);
	const ofD0 = scale * grown;
	const ofD1 = midpoint ? ofD0 / 2 : scale * (grown / exponent - 1);
	// diffusers has the other sign before the half in sde-dpmsolver++, although the integral vanishes with h; parity goes first.
	const half = algorithm === "sde-dpmsolver++" ? -0.5 : 0.5;
	const ofD2 = scale * ((grown - exponent) / exponent ** 2 - half);
	return { ofSample, ofNoise, ofOutputs: ofDifferences([ofD0, ofD1, ofD2], points.map(lambda)) };
}

/** Weights of D0, D1, D2 turned into weights of the outputs themselves. */
function ofDifferences([d0, d1, d2]: readonly number[], [l, l0, l1, l2]: readonly number[]): number[] {
	const h = l - l0;
	if (l1 === undefined) return [d0];
	const r0 = (l0 - l1) / h;
	if (l2 === undefined) return [d0 + d1 / r0, -d1 / r0];
	const r1 = (l1 - l2) / h;
	// D1 = D10 + r0 / (r0 + r1) (D10 - D11) and D2 = (D10 - D11) / (r0 + r1), with D10 = (m0 - m1) / r0 and D11 = (m1 - m2) / r1.
	const ofD10 = d1 + (d1 * r0 + d2) / (r0 + r1);
	const ofD11 = -(d1 * r0 + d2) / (r0 + r1);
	return [d0 + ofD10 / r0, -ofD10 / r0 + ofD11 / r1, -ofD11 / r1];
}
