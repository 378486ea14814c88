/** @file The wire format of protobuf, read from a file and written to memory. */

/** Random access to the bytes of a file. */
export interface ByteSource {
	readonly size: number;
	/** Bytes [offset, offset + length); the caller stays within `size`. */
	read(offset: number, length: number): Uint8Array;
}

export const bytesSource = (bytes: Uint8Array): ByteSource => ({
	size: bytes.length,
	read: (offset, length) => bytes.subarray(offset, offset + length),
});

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const WINDOW = 1 << 16;

export interface WireReader {
	/** A number and the offset behind it. Beyond 2^53 the number is rounded. */
	varint(offset: number): { value: number; next: number };
	read(offset: number, length: number): Uint8Array;
}

/** Reads ahead, so that a file is not asked for every byte. `damaged` makes the error that is thrown. */
export function wireReader(source: ByteSource, damaged: (found: string) => Error): WireReader {
	let start = 0;
	let window = new Uint8Array();
	const byteAt = (offset: number): number => {
		if (offset >= source.size) throw damaged(`the end of the file at byte ${offset}`);
		if (offset < start || offset >= start + window.length) {
			start = offset;
			window = source.read(offset, Math.min(WINDOW, source.size - offset)) as typeof window;
		}
		return window[offset - start];
	};
	return {
		varint(offset) {
			let value = 0;
			for (let i = 0; i < 10; i++) {
				const byte = byteAt(offset + i);
				value += (byte & 0x7f) * 2 ** (7 * i);
				if (byte < 0x80) return { value, next: offset + i + 1 };
			}
			throw damaged(`an endless number at byte ${offset}`);
		},
		read(offset, length) {
			const inside = offset >= start && offset + length <= start + window.length;
			return inside ? window.subarray(offset - start, offset - start + length) : source.read(offset, length);
		},
	};
}

export interface WireWriter {
	bytes(bytes: Uint8Array): void;
	/** A field of bytes whose length is known when `body` has written it. */
	nested(field: number, body: () => void): void;
	done(): Uint8Array;
}

/** Bytes of a tag or a length: always five, because the length is written before it is known and protobuf allows padding. */
const PADDED = 5;

export function wireWriter(): WireWriter {
	let buffer = new Uint8Array(WINDOW);
	let size = 0;
	const reserve = (n: number) => {
		if (size + n > buffer.length) {
			const grown = new Uint8Array(Math.max(2 * buffer.length, size + n));
			grown.set(buffer.subarray(0, size));
			buffer = grown;
		}
		size += n;
	};
	const varint = (at: number, value: number) => {
		for (let i = 0; i < PADDED; i++) buffer[at + i] = (Math.floor(value / 2 ** (7 * i)) & 0x7f) | (i < PADDED - 1 ? 0x80 : 0);
	};
	return {
		bytes(bytes) {
			reserve(bytes.length);
			buffer.set(bytes, size - bytes.length);
		},
		nested(field, body) {
			reserve(2 * PADDED);
			const start = size;
			varint(start - 2 * PADDED, field * 8 + WIRE.bytes);
			body();
			varint(start - PADDED, size - start);
		},
		done: () => buffer.subarray(0, size),
	};
}
