import fc from "fast-check";
import { expect, it } from "vitest";
import { tensor } from "../tensor/tensor.ts";
import { inBatches } from "./batches.ts";

it("runs chunks of one size, pads with zeros and joins what belongs to real rows", async () => {
	await fc.assert(
		fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 }), async (n, size) => {
			const a = tensor(
				Float32Array.from({ length: n * 2 }, (_, i) => i + 1),
				[n, 2],
			);
			const b = tensor(
				Float32Array.from({ length: n }, (_, i) => 10 * (i + 1)),
				[n, 1],
			);
			const seen: number[] = [];
			const { sum } = await inBatches(size, [a, b], async (x, y) => {
				seen.push(x.dims[0]);
				return {
					sum: tensor(
						Float32Array.from({ length: size }, (_, i) => x.data[2 * i] + x.data[2 * i + 1] + y.data[i]),
						[size],
					),
				};
			});
			expect(new Set(seen)).toEqual(new Set([size]));
			expect(sum.dims).toEqual([n]);
			expect([...sum.data]).toEqual(Array.from({ length: n }, (_, i) => 4 * i + 3 + 10 * (i + 1)));
		}),
	);
});
