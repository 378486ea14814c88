/** @file The random changes that the Square Attack tries: vertical stripes and squares of one colour (L-infinity), tiles and windows of energy (L2). */
import type { Random } from "../tensor/random.ts";
import { lengthOf } from "./surface.ts";
import { type Norm, project } from "./threat-model.ts";

export interface Canvas {
	readonly height: number;
	readonly width: number;
}

export interface Proposal extends Canvas {
	readonly epsilon: number;
	/** Clean pixels `[3 * height * width]`. */
	readonly clean: Float32Array;
	readonly random: Random;
}

/** What makes the changes of one norm; both return pixels inside the budget. */
interface Proposals {
	start(proposal: Proposal): Float32Array;
	/** A neighbour of `x`, different from it in a square (L2: two) of about this side. */
	next(proposal: Proposal, x: Float32Array, side: number): Float32Array;
}

const CHANNELS = [0, 1, 2];
const sign = (random: Random) => (random.uniform() < 0.5 ? -1 : 1);

interface Window {
	top: number;
	left: number;
	side: number;
}

/** As in the original, the last possible row and column are never drawn. */
const anywhere = ({ height, width, random }: Proposal, side: number): Window => ({
	top: random.int(height - side),
	left: random.int(width - side),
	side,
});

/** Calls `visit` with the place in the image and in the window of each pixel of one channel. */
function inside(
	{ height, width }: Canvas,
	{ top, left, side }: Window,
	channel: number,
	visit: (at: number, within: number) => void,
): void {
	for (let y = 0; y < side; y++) {
		for (let x = 0; x < side; x++) visit((channel * height + top + y) * width + left + x, y * side + x);
	}
}

const linf: Proposals = {
	start(proposal) {
		const { height, width, clean, epsilon, random } = proposal;
		const stripes = Float32Array.from({ length: CHANNELS.length * width }, () => epsilon * sign(random));
		const x = clean.map((v, i) => v + stripes[Math.floor(i / (height * width)) * width + (i % width)]);
		project(x, clean, { norm: "linf", epsilon });
		return x;
	},
	next(proposal, x, side) {
		const { height, width, clean, epsilon, random } = proposal;
		const window = anywhere(proposal, Math.min(side, height, width));
		const moved = x.slice();
		for (const channel of CHANNELS) {
			const shift = 2 * epsilon * sign(random);
			inside(proposal, window, channel, (at) => {
				const change = Math.min(epsilon, Math.max(-epsilon, x[at] + shift - clean[at]));
				moved[at] = Math.min(1, Math.max(0, clean[at] + change));
			});
		}
		return moved;
	},
};

/** A hill over a rectangle, of length 1: the sum of nested squares around its middle, from one pixel on, the r-th of weight 1 / r^2. */
function hill(height: number, width: number): Float32Array {
	const out = new Float32Array(height * width);
	const [middleY, middleX] = [Math.floor(height / 2), Math.floor(width / 2)];
	const rings = Math.max(middleY, middleX) + 1;
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			const ring = Math.max(Math.abs(y - middleY), Math.abs(x - middleX));
			for (let r = ring; r < rings; r++) out[y * width + x] += 1 / (r + 1) ** 2;
		}
	}
	const length = lengthOf(out, "l2");
	return out.map((v) => v / length);
}

/** A hill beside a valley, side by side or one above the other, of length 1. */
function pattern(side: number, random: Random): Float32Array {
	const upper = Math.floor(side / 2);
	const values = [...hill(upper, side), ...hill(side - upper, side).map((v) => -v)];
	const length = lengthOf(Float32Array.from(values), "l2");
	const turned = random.uniform() > 0.5;
	return Float32Array.from(values, (_, i) => values[turned ? (i % side) * side + Math.floor(i / side) : i] / length);
}

/** clean + change, scaled to the length epsilon and cut to [0, 1]. */
function onSphere({ clean, epsilon }: Proposal, change: Float32Array): Float32Array {
	const scale = epsilon / (lengthOf(change, "l2") + 1e-12);
	return clean.map((v, i) => Math.min(1, Math.max(0, v + scale * change[i])));
}

/** Sum of squares of one channel inside a window. */
function energy(canvas: Canvas, change: Float32Array, window: Window, channel: number): number {
	let sum = 0;
	inside(canvas, window, channel, (at) => {
		sum += change[at] * change[at];
	});
	return sum;
}

/** Tiles along each side of the first L2 change, and the smallest window of the later ones. */
const TILES = 5;
const SMALLEST = 3;

const l2: Proposals = {
	start(proposal) {
		const { height, width, clean, random } = proposal;
		const side = Math.max(1, Math.floor(Math.min(height, width) / TILES));
		const change = new Float32Array(clean.length);
		const margin = Math.floor((Math.min(height, width) - TILES * side) / 2);
		for (let top = margin; top + side <= height; top += side) {
			for (let left = margin; left + side <= width; left += side) {
				const tile = pattern(side, random);
				for (const channel of CHANNELS) {
					const s = sign(random);
					inside(proposal, { top, left, side }, channel, (at, within) => {
						change[at] += s * tile[within];
					});
				}
			}
		}
		return onSphere(proposal, change);
	},
	/** Moves the energy of a second window, and what the budget leaves, into a first one, on top of a new pattern. */
	next(proposal, x, wanted) {
		const { height, width, clean, epsilon, random } = proposal;
		const most = Math.min(height, width);
		const odd = Math.max(SMALLEST, wanted) | 1;
		const side = Math.min(odd, most);
		const [target, source] = [anywhere(proposal, side), anywhere(proposal, side)];
		const change = x.map((v, i) => v - clean[i]);
		const used = lengthOf(change, "l2") ** 2;
		const emptied = change.slice();
		for (const window of [target, source]) {
			for (const channel of CHANNELS) {
				inside(proposal, window, channel, (at) => {
					emptied[at] = 0;
				});
			}
		}
		const freed = Math.max(0, used - lengthOf(emptied, "l2") ** 2);
		const length = Math.sqrt(Math.max(0, epsilon ** 2 - used) / CHANNELS.length + freed);
		const shape = pattern(side, random);
		for (const channel of CHANNELS) {
			const s = sign(random);
			const before = Math.sqrt(energy(proposal, change, target, channel)) + 1e-12;
			const mixed = new Float32Array(side * side);
			inside(proposal, target, channel, (at, within) => {
				mixed[within] = s * shape[within] + change[at] / before;
			});
			const scale = length / (lengthOf(mixed, "l2") + 1e-12);
			inside(proposal, target, channel, (at, within) => {
				emptied[at] = scale * mixed[within];
			});
		}
		return onSphere(proposal, emptied);
	},
};

export const proposals: Readonly<Record<Norm, Proposals>> = { linf, l2 };
