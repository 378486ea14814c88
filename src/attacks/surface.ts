/** @file Lengths of changes, and random points at a given distance from an image, where APGD and FAB start. */
import type { Random } from "../tensor/random.ts";
import { type Norm, norm2 } from "./threat-model.ts";

/** Largest absolute value (L-infinity) or Euclidean length (L2). */
export function lengthOf(change: Float32Array, norm: Norm): number {
	if (norm === "l2") return norm2(change);
	let most = 0;
	for (const v of change) most = Math.max(most, Math.abs(v));
	return most;
}

/** Guard of AutoAttack's divisions. */
const TINY = 1e-12;

/**
 * `clean` `[D]` moved by exactly `radius` in a random direction and cut to [0, 1]: uniform numbers scaled by the largest of them
 * (L-infinity), normal numbers scaled by their length (L2).
 */
export function atDistance(radius: number, clean: Float32Array, norm: Norm, random: Random): Float32Array {
	const direction = norm === "l2" ? random.normals(clean.length) : random.uniforms(clean.length, -1, 1);
	const scale = radius / (lengthOf(direction, norm) + TINY);
	return clean.map((v, i) => Math.min(1, Math.max(0, v + scale * direction[i])));
}
