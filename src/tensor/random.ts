/** @file Counter-based random numbers: a stream depends on its key alone, never on what was drawn before it elsewhere. */

/** A source of reproducible draws. */
export interface Random {
	/** Uniform in [0, 1), 32 bits. */
	uniform(): number;
	/** Standard normal (Box-Muller). */
	normal(): number;
	/** Uniform integer in [0, n). */
	int(n: number): number;
	/** `n` standard normals. */
	normals(n: number): Float32Array;
	/** `n` uniforms in [low, high). */
	uniforms(n: number, low?: number, high?: number): Float32Array;
	/** Uniform choice of one element. */
	pick<T>(items: readonly T[]): T;
	/** A new array in random order (Fisher-Yates). */
	shuffled<T>(items: readonly T[]): T[];
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** 64-bit FNV-1a of the key's JSON: (experiment seed, image id, stage, repetition) -> Philox key. */
function hashKey(parts: readonly (string | number)[]): [number, number] {
	let h = FNV_OFFSET;
	for (const byte of new TextEncoder().encode(JSON.stringify(parts))) {
		h = BigInt.asUintN(64, (h ^ BigInt(byte)) * FNV_PRIME);
	}
	return [Number(h & 0xffffffffn), Number(h >> 32n)];
}

/** High 32 bits of a 32 x 32 bit product; the halves keep every step exact in doubles. */
function highProduct(a: number, b: number): number {
	const al = a & 0xffff;
	const ah = a >>> 16;
	const bl = b & 0xffff;
	const bh = b >>> 16;
	const mid = ah * bl + ((al * bl) >>> 16);
	const mid2 = al * bh + (mid & 0xffff);
	return ah * bh + Math.floor(mid / 65536) + Math.floor(mid2 / 65536);
}

/** Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011); writes to `out` if it is given. */
export function philox(counter: Uint32Array, key0: number, key1: number, out = new Uint32Array(4)): Uint32Array {
	let [c0, c1, c2, c3] = counter;
	let k0 = key0;
	let k1 = key1;
	for (let round = 0; round < 10; round++) {
		const high0 = highProduct(0xd2511f53, c0);
		const low0 = Math.imul(0xd2511f53, c0);
		const high1 = highProduct(0xcd9e8d57, c2);
		const low1 = Math.imul(0xcd9e8d57, c2);
		c0 = (high1 ^ c1 ^ k0) >>> 0;
		c1 = low1 >>> 0;
		c2 = (high0 ^ c3 ^ k1) >>> 0;
		c3 = low0 >>> 0;
		k0 = (k0 + 0x9e3779b9) >>> 0;
		k1 = (k1 + 0xbb67ae85) >>> 0;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
	return out;
}

/** `n` draws as float32. */
function fill(n: number, draw: () => number): Float32Array {
	const out = new Float32Array(n);
	for (let i = 0; i < n; i++) out[i] = draw();
	return out;
}

/**
 * The stream that belongs to a key, e.g. `random(seed, imageId, "pgd", repetition)`.
 * Equal keys give equal streams on every machine.
 */
export function random(...key: (string | number)[]): Random {
	const [key0, key1] = hashKey(key);
	const counter = new Uint32Array(4);
	const block = new Uint32Array(4);
	let next = block.length;
	let spare: number | undefined;

	const bits = (): number => {
		if (next === block.length) {
			philox(counter, key0, key1, block);
			next = 0;
			counter[0]++;
			if (counter[0] === 0) counter[1]++;
		}
		return block[next++];
	};
	const uniform = () => bits() / 2 ** 32;
	const int = (n: number) => Math.floor(uniform() * n);
	const normal = () => {
		if (spare !== undefined) {
			const value = spare;
			spare = undefined;
			return value;
		}
		const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
		const angle = 2 * Math.PI * uniform();
		spare = radius * Math.sin(angle);
		return radius * Math.cos(angle);
	};
	return {
		uniform,
		normal,
		int,
		normals: (n) => fill(n, normal),
		uniforms: (n, low = 0, high = 1) => fill(n, () => low + (high - low) * uniform()),
		pick: (items) => items[int(items.length)],
		shuffled(items) {
			const out = [...items];
			for (let i = out.length - 1; i > 0; i--) {
				const j = int(i + 1);
				[out[i], out[j]] = [out[j], out[i]];
			}
			return out;
		},
	};
}
