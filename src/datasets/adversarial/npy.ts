/** @file NumPy's NPY files of float16 values. */
import { KintsugiError } from "../../errors.ts";

const MAGIC = "\x93NUMPY";
/** Data begin at a multiple of this. */
const ALIGNMENT = 64;

/** The nearest IEEE half of a number, ties to even; overflow becomes infinite. */
export function toHalf(x: number): number {
	const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
	const size = Math.abs(x);
	if (Number.isNaN(size)) return 0x7e00;
	// Halfway between the largest half, 65504, and the next power of two.
	if (size >= 65520) return sign | 0x7c00;
	// Halves below 2^-14 are multiples of 2^-24; a fraction that rounds up to 1024 carries into the exponent.
	if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
	const rough = Math.floor(Math.log2(size));
	const exponent = 2 ** rough > size ? rough - 1 : 2 ** (rough + 1) <= size ? rough + 1 : rough;
	return sign | (((exponent + 15) << 10) + roundEven((size / 2 ** exponent - 1) * 1024));
}

function roundEven(x: number): number {
	const down = Math.floor(x);
	const rest = x - down;
	return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

/** The value of an IEEE half. */
export function fromHalf(half: number): number {
	const sign = half & 0x8000 ? -1 : 1;
	const exponent = (half >>> 10) & 0x1f;
	const fraction = half & 0x3ff;
	if (exponent === 0) return sign * fraction * 2 ** -24;
	if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
	return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** An NPY file (version 1.0) of float16 values with these dims. */
export function encodeNpy(values: Float32Array, dims: readonly number[]): Uint8Array {
	const shape = dims.length === 1 ? `${dims[0]},` : dims.join(", ");
	const text = `{'descr': '<f2', 'fortran_order': False, 'shape': (${shape}), }`;
	const prefix = MAGIC.length + 4;
	const length = Math.ceil((prefix + text.length + 1) / ALIGNMENT) * ALIGNMENT;
	const header = `${text.padEnd(length - prefix - 1)}\n`;
	const out = new Uint8Array(length + 2 * values.length);
	const view = new DataView(out.buffer);
	out.set(Buffer.from(`${MAGIC}\x01\x00`, "latin1"));
	view.setUint16(MAGIC.length + 2, header.length, true);
	out.set(Buffer.from(header, "latin1"), prefix);
	for (let i = 0; i < values.length; i++) view.setUint16(length + 2 * i, toHalf(values[i]), true);
	return out;
}

/** Values and dims of an NPY file that `encodeNpy` wrote; throws `dataset` for any other. */
export function decodeNpy(bytes: Uint8Array, name = "NPY file"): { values: Float32Array; dims: number[] } {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const prefix = MAGIC.length + 4;
	const header = bytes.length < prefix ? "" : Buffer.from(bytes.subarray(prefix, prefix + view.getUint16(8, true))).toString("latin1");
	const [, shape] = /'descr': '<f2', 'fortran_order': False, 'shape': \(([\d, ]*)\)/.exec(header) ?? [];
	const dims = (shape ?? "").split(",").flatMap((part) => (part.trim() === "" ? [] : [Number(part)]));
	const size = dims.reduce((n, d) => n * d, 1);
	if (shape === undefined || bytes.length !== prefix + header.length + 2 * size) {
		throw new KintsugiError("dataset", {
			where: name,
			expected: "an NPY file of float16 values",
			found: "something else",
			fix: "build it again",
		});
	}
	const start = prefix + header.length;
	return { values: Float32Array.from({ length: size }, (_, i) => fromHalf(view.getUint16(start + 2 * i, true))), dims };
}
