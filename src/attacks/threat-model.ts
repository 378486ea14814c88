/** @file What an attacker may change: a ball around the clean image, in pixels of [0, 1], and the 8-bit lattice inside it. */
import type { Tensor } from "../tensor/tensor.ts";
import { row, tensor } from "../tensor/tensor.ts";

export const NORMS = ["linf", "l2"] as const;
export type Norm = (typeof NORMS)[number];

export interface ThreatModel {
	readonly norm: Norm;
	/** Radius of the ball in pixel units: 8/255 is eight levels of an 8-bit image. */
	readonly epsilon: number;
}

/** A radius that no image reaches: attacks that look for the smallest change have no budget by default. */
export const UNBOUNDED = 1e6;

const LEVELS = 255;
/** Slack for radii such as 8/255, whose product with 255 is not exactly 8 in floating point. */
const SLACK = 1e-6;

/** Euclidean length. */
export function norm2(values: ArrayLike<number>): number {
	let sum = 0;
	for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
	return Math.sqrt(sum);
}

/** Moves one candidate `[D]` in place into the ball around `clean` and then into [0, 1]. */
export function project(candidate: Float32Array, clean: Float32Array, { norm, epsilon }: ThreatModel): void {
	if (norm === "l2") shorten(candidate, clean, epsilon);
	// Half of |d + e| - |d - e| is d, cut to [-e, e]: no branch for a processor to mispredict, in the loop that an attack step spends
	// most of its own time in.
	const reach = norm === "l2" ? UNBOUNDED : epsilon;
	for (let i = 0; i < candidate.length; i++) {
		const change = candidate[i] - clean[i];
		const value = clean[i] + 0.5 * (Math.abs(change + reach) - Math.abs(change - reach));
		candidate[i] = value > 1 ? 1 : value < 0 ? 0 : value;
	}
}

/** Scales the change down to a length of epsilon if it is longer. */
function shorten(candidate: Float32Array, clean: Float32Array, epsilon: number): void {
	let squared = 0;
	for (let i = 0; i < candidate.length; i++) squared += (candidate[i] - clean[i]) ** 2;
	if (squared <= epsilon * epsilon) return;
	const scale = epsilon / Math.sqrt(squared);
	for (let i = 0; i < candidate.length; i++) candidate[i] = clean[i] + (candidate[i] - clean[i]) * scale;
}

/** The nearest values of an 8-bit image. */
export const quantize = (values: Float32Array): Float32Array => values.map((v) => Math.round(v * LEVELS) / LEVELS);

/** Largest distance to the nearest value of an 8-bit image. */
export function latticeError(values: Float32Array): number {
	let worst = 0;
	for (const v of values) worst = Math.max(worst, Math.abs(v - Math.round(v * LEVELS) / LEVELS));
	return worst;
}

/** Levels by which a pixel may differ from the clean one under an L-infinity radius. */
export const levelsWithin = (epsilon: number): number => Math.floor(epsilon * LEVELS + SLACK);

/** Levels (integers) by which the 8-bit candidate differs from the clean 8-bit image, nearest first. */
function levelDifferences(candidate: Float32Array, clean: Float32Array): Int16Array {
	return Int16Array.from(candidate, (v, i) => Math.round(v * LEVELS) - Math.round(clean[i] * LEVELS));
}

/** Takes back single levels, least wanted first, until the squared length fits: rounding may have lengthened the perturbation. */
function shortenToFit(levels: Int16Array, wanted: Float64Array, radius: number): void {
	let squared = 0;
	for (const d of levels) squared += d * d;
	const limit = radius * radius * (1 + SLACK);
	if (squared <= limit) return;
	const gain = (i: number) => Math.abs(levels[i]) - Math.abs(wanted[i]);
	const order = [...levels.keys()].filter((i) => gain(i) > 0).sort((a, b) => gain(b) - gain(a) || a - b);
	for (const i of order) {
		if (squared <= limit) return;
		const shorter = levels[i] - Math.sign(levels[i]);
		squared += shorter * shorter - levels[i] * levels[i];
		levels[i] = shorter;
	}
}

/**
 * Rounds one candidate `[D]` to 8 bits without leaving the ball: to the nearest level, or towards the clean pixel where
 * the nearest level lies outside. `clean` must be an 8-bit image, so the clean pixel itself is always a level inside.
 */
export function roundWithin(candidate: Float32Array, clean: Float32Array, { norm, epsilon }: ThreatModel): Float32Array {
	const levels = levelDifferences(candidate, clean);
	if (norm === "linf") {
		const most = levelsWithin(epsilon);
		for (let i = 0; i < levels.length; i++) levels[i] = Math.min(most, Math.max(-most, levels[i]));
	} else {
		const wanted = Float64Array.from(candidate, (v, i) => (v - clean[i]) * LEVELS);
		shortenToFit(levels, wanted, epsilon * LEVELS);
	}
	return clean.map((v, i) => (Math.round(v * LEVELS) + levels[i]) / LEVELS);
}

export interface Distance {
	/** Largest change of a pixel's channel. */
	linf: number;
	/** Euclidean length of the change. */
	l2: number;
}

/** Distance of an 8-bit image from an 8-bit clean image, computed in whole levels and so free of rounding errors. */
export function distance(image: Float32Array, clean: Float32Array): Distance {
	const levels = levelDifferences(image, clean);
	let most = 0;
	for (const d of levels) most = Math.max(most, Math.abs(d));
	return { linf: most / LEVELS, l2: norm2(levels) / LEVELS };
}

/** Applies a function of (row of `images`, row of `clean`) to every image. */
export function mapRows(images: Tensor, clean: Tensor, f: (image: Float32Array, clean: Float32Array) => Float32Array): Tensor {
	const out = new Float32Array(images.data.length);
	const size = images.data.length / Math.max(1, images.dims[0]);
	for (let n = 0; n < images.dims[0]; n++) out.set(f(row(images, n).data, row(clean, n).data), n * size);
	return tensor(out, images.dims);
}
