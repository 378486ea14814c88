/** @file Procedural backgrounds: each kind is a colour for every point of the unit square. */
import type { Random } from "../../tensor/random.ts";

type Colour = readonly [number, number, number];
/** Writes the colour at (x, y) in [0, 1) into `out`. */
type Painter = (x: number, y: number, out: Float32Array) => void;
/** A scalar field on the unit square, roughly in [0, 1]. */
type Field = (x: number, y: number) => number;

const KINDS: readonly ((r: Random) => Painter)[] = [linear, radial, stripes, checks, blobs, noise, noise, horizon, horizon, dots];

/** A random background: float32 [size, size, 3] in [0, 1], HWC. */
export function paintBackground(r: Random, size: number): Float32Array {
	const paint = r.pick(KINDS)(r);
	const out = new Float32Array(size * size * 3);
	const colour = new Float32Array(3);
	for (let y = 0; y < size; y++) {
		for (let x = 0; x < size; x++) {
			paint((x + 0.5) / size, (y + 0.5) / size, colour);
			for (let c = 0; c < 3; c++) out[(y * size + x) * 3 + c] = Math.min(Math.max(colour[c], 0), 1);
		}
	}
	return out;
}

const between = (r: Random, low: number, high: number) => low + (high - low) * r.uniform();
const smooth = (t: number) => t * t * (3 - 2 * t);
const clamp = (t: number) => Math.min(Math.max(t, 0), 1);

/** HSV, all in [0, 1], to RGB. */
function hsv(h: number, s: number, v: number): Colour {
	const channel = (n: number) => {
		const k = (n + h * 6) % 6;
		return v - v * s * clamp(Math.min(k, 4 - k));
	};
	return [channel(5), channel(3), channel(1)];
}

/** Two colours that belong together: near in hue, apart in brightness. */
function pair(r: Random): [Colour, Colour] {
	const hue = r.uniform();
	const saturation = between(r, 0.05, 0.6);
	const value = between(r, 0.2, 0.95);
	const other = clamp(value + (value > 0.6 ? -1 : 1) * between(r, 0.08, 0.35));
	return [hsv(hue, saturation, value), hsv((hue + between(r, 0.9, 1.1)) % 1, saturation * between(r, 0.6, 1.2), other)];
}

/** Mixes two colours by a field in [0, 1]. */
function mixed(field: Field, [a, b]: readonly [Colour, Colour]): Painter {
	return (x, y, out) => {
		const t = clamp(field(x, y));
		for (let c = 0; c < 3; c++) out[c] = a[c] + (b[c] - a[c]) * t;
	};
}

/** Distance along a random direction, 0 at the centre. */
function along(r: Random): Field {
	const angle = 2 * Math.PI * r.uniform();
	const cos = Math.cos(angle);
	const sin = Math.sin(angle);
	return (x, y) => (x - 0.5) * cos + (y - 0.5) * sin;
}

function linear(r: Random): Painter {
	const field = along(r);
	return mixed((x, y) => 0.5 + 0.75 * field(x, y), pair(r));
}

function radial(r: Random): Painter {
	const cx = between(r, 0.1, 0.9);
	const cy = between(r, 0.1, 0.9);
	const reach = between(r, 0.5, 1);
	return mixed((x, y) => Math.hypot(x - cx, y - cy) / reach, pair(r));
}

function stripes(r: Random): Painter {
	const field = along(r);
	const frequency = between(r, 3, 9);
	const sharpness = between(r, 1, 4);
	return mixed((x, y) => 0.5 + 0.5 * sharpness * Math.sin(2 * Math.PI * frequency * field(x, y)), pair(r));
}

function checks(r: Random): Painter {
	const angle = between(r, 0, Math.PI / 2);
	const frequency = between(r, 1.5, 5);
	const cos = Math.cos(angle) * frequency;
	const sin = Math.sin(angle) * frequency;
	const wave = (t: number) => Math.sin(2 * Math.PI * t);
	return mixed((x, y) => 0.5 + 3 * wave(x * cos + y * sin) * wave(y * cos - x * sin), pair(r));
}

function dots(r: Random): Painter {
	const frequency = between(r, 3, 7);
	const radius = between(r, 0.2, 0.35);
	return mixed((x, y) => {
		const shifted = x * frequency + (Math.floor(y * frequency) % 2) / 2;
		const distance = Math.hypot((shifted % 1) - 0.5, ((y * frequency) % 1) - 0.5);
		return 0.5 + (radius - distance) * 8;
	}, pair(r));
}

function blobs(r: Random): Painter {
	const [base, other] = pair(r);
	const third = pair(r)[0];
	const spots = Array.from({ length: 3 + r.int(5) }, (_, i) => ({
		x: r.uniform(),
		y: r.uniform(),
		width: between(r, 0.08, 0.3),
		colour: i % 3 === 0 ? third : other,
	}));
	return (x, y, out) => {
		out.set(base);
		for (const spot of spots) {
			const t = Math.exp(-((x - spot.x) ** 2 + (y - spot.y) ** 2) / (2 * spot.width ** 2));
			for (let c = 0; c < 3; c++) out[c] += (spot.colour[c] - out[c]) * t;
		}
	};
}

/** Fractal value noise of `octaves` octaves, the coarsest of about `frequency` cells. */
function valueNoise(r: Random, frequency: number, octaves: number): Field {
	const layers = Array.from({ length: octaves }, (_, i) => {
		const cells = Math.ceil(frequency * 2 ** i);
		return { cells, lattice: r.uniforms((cells + 1) ** 2), weight: 0.5 ** i };
	});
	const total = layers.reduce((sum, layer) => sum + layer.weight, 0);
	return (x, y) => {
		let sum = 0;
		for (const { cells, lattice, weight } of layers) {
			const ix = Math.min(Math.floor(x * cells), cells - 1);
			const iy = Math.min(Math.floor(y * cells), cells - 1);
			const fx = smooth(x * cells - ix);
			const fy = smooth(y * cells - iy);
			const at = iy * (cells + 1) + ix;
			const top = lattice[at] + (lattice[at + 1] - lattice[at]) * fx;
			const bottom = lattice[at + cells + 1] + (lattice[at + cells + 2] - lattice[at + cells + 1]) * fx;
			sum += weight * (top + (bottom - top) * fy);
		}
		return sum / total;
	};
}

function noise(r: Random): Painter {
	const field = valueNoise(r, between(r, 1, 5), 1 + r.int(3));
	const steepness = between(r, 1, 2.5);
	return mixed((x, y) => 0.5 + steepness * (field(x, y) - 0.5), pair(r));
}

/** Sky over ground, with a wavy horizon and textured ground. */
function horizon(r: Random): Painter {
	const level = between(r, 0.3, 0.7);
	const slope = between(r, -0.12, 0.12);
	const hills = valueNoise(r, between(r, 2, 5), 2);
	const height = between(r, 0, 0.25);
	const sky: [Colour, Colour] = [hsv(between(r, 0.5, 0.65), between(r, 0.1, 0.6), between(r, 0.6, 1)), hsv(r.uniform(), 0.25, 0.95)];
	const ground = pair(r);
	const texture = valueNoise(r, between(r, 3, 8), 2);
	const paintSky = mixed((_, y) => y / level, sky);
	const paintGround = mixed(texture, ground);
	const upper = new Float32Array(3);
	return (x, y, out) => {
		const edge = level + slope * (x - 0.5) + height * (hills(x, 0.5) - 0.5);
		const below = clamp((y - edge) * 64 + 0.5);
		paintGround(x, y, out);
		if (below === 1) return;
		paintSky(x, y, upper);
		for (let c = 0; c < 3; c++) out[c] = upper[c] + (out[c] - upper[c]) * below;
	};
}
