/** @file COCO's run-length masks: columns first, runs of 0 and 1 in turn, beginning with 0. */
import { KintsugiError } from "../errors.ts";

export interface Rle {
	/** [height, width]. */
	size: readonly [number, number];
	/** Run lengths, or pycocotools' packed string of them. */
	counts: readonly number[] | string;
}

/** Run lengths of a mask: uint8 [height, width], nonzero = inside. */
export function maskToCounts(mask: Uint8Array, height: number, width: number): number[] {
	const counts: number[] = [];
	let value = 0;
	let run = 0;
	for (let x = 0; x < width; x++) {
		for (let y = 0; y < height; y++) {
			const next = mask[y * width + x] ? 1 : 0;
			if (next !== value) {
				counts.push(run);
				run = 0;
				value = next;
			}
			run++;
		}
	}
	counts.push(run);
	return counts;
}

/** Mask of a run-length code: uint8 [height, width] of 0 and 1; throws `dataset` if the runs do not fill it. */
export function rleToMask({ size: [height, width], counts }: Rle): Uint8Array {
	const runs = typeof counts === "string" ? unpackCounts(counts) : counts;
	const filled = runs.reduce((sum, run) => sum + run, 0);
	if (filled !== height * width || runs.some((run) => !(run >= 0))) {
		throw new KintsugiError("dataset", {
			where: "run-length mask",
			expected: `runs that fill ${height} x ${width} pixels`,
			found: `${filled} pixels`,
			fix: "repair the annotation",
		});
	}
	const mask = new Uint8Array(height * width);
	let at = 0;
	runs.forEach((run, i) => {
		for (const end = at + run; at < end; at++) if (i % 2 === 1) mask[(at % height) * width + Math.floor(at / height)] = 1;
	});
	return mask;
}

/**
 * pycocotools' string: from the fourth run on the difference to the run two before it, in groups of five bits,
 * lowest first, 0x20 = another group follows, each as the character 48 + group.
 */
export function packCounts(counts: readonly number[]): string {
	let text = "";
	counts.forEach((run, i) => {
		let rest = i > 2 ? run - counts[i - 2] : run;
		for (let more = true; more; ) {
			const group = rest & 0x1f;
			rest >>= 5;
			more = group & 0x10 ? rest !== -1 : rest !== 0;
			text += String.fromCharCode((more ? group | 0x20 : group) + 48);
		}
	});
	return text;
}

/** Run lengths of pycocotools' string. */
export function unpackCounts(text: string): number[] {
	const counts: number[] = [];
	for (let at = 0; at < text.length; ) {
		let value = 0;
		let shift = 0;
		let group = 0x20;
		for (; group & 0x20 && at < text.length; shift += 5) {
			group = text.charCodeAt(at++) - 48;
			value |= (group & 0x1f) << shift;
		}
		if (group & 0x10) value |= -1 << shift;
		counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
	}
	return counts;
}
