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

/** High and low 32 bits of a 32 x 32 bit product, in exact integer arithmetic. */
function multiply(a: number, b: number, out: Uint32Array): void {
	const al = a & 0xffff;
	const ah = a >>> 16;
	const bl = b & 0xffff;
	const bh = b >>> 16;
	const low = al * bl;
	const mid = ah * bl + (low >>> 16);
	const mid2 = al * bh + (mid & 0xffff);
	out[0] = ah * bh + Math.floor(mid / 65536) + Math.floor(mid2 / 65536);
	out[1] = Math.imul(a, b);
}

/** Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). */
export function philox(counter: Uint32Array, key0: number, key1: number): Uint32Array {
	const p0 = new Uint32Array(2);
	const p1 = new Uint32Array(2);
	const c = Uint32Array.from(counter);
	let k0 = key0;
	let k1 = key1;
	for (let round = 0; round < 10; round++) {
		multiply(0xd2511f53, c[0], p0);
		multiply(0xcd9e8d57, c[2], p1);
		c.set([p1[0] ^ c[1] ^ k0, p1[1], p0[0] ^ c[3] ^ k1, p0[1]]);
		k0 = (k0 + 0x9e3779b9) >>> 0;
		k1 = (k1 + 0xbb67ae85) >>> 0;
	}
	return c;
}

/**
 * The stream that belongs to a key, e.g. `random(seed, imageId, "pgd", repetition)`.
 * Equal keys give equal streams on every machine.
 */
export function random(...key: (string | number)[]): Random {
	const [key0, key1] = hashKey(key);
	const counter = new Uint32Array(4);
	let block: Uint32Array = new Uint32Array(0);
	let next = 0;
	let spare: number | undefined;

	const bits = (): number => {
		if (next === block.length) {
			block = philox(counter, key0, key1);
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
		normals: (n) => Float32Array.from({ length: n }, normal),
		uniforms: (n, low = 0, high = 1) => Float32Array.from({ length: n }, () => low + (high - low) * uniform()),
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
