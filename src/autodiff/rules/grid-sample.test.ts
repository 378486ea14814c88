import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkRule, x } from "../../../test/support/check-rule.ts";
import { graphBuilder, infer } from "../../onnx/index.ts";
import { openSession, shapeRuntime } from "../../runtime/index.ts";
import { random } from "../../tensor/random.ts";
import { sizeOf, type Tensor, tensor } from "../../tensor/tensor.ts";
import { vjp } from "../index.ts";

/** Places within the image and up to two pixels outside, at least a fifth of a pixel away from every kink (pixel centres and edges). */
function places(image: readonly number[], batch: number, out: readonly number[], aligned: number, seed: number): Tensor {
	const { int, uniform, pick } = random("places", seed);
	const coordinate = (size: number) => {
		const at = int(size + 4) - 2 + pick([0.2, 0.7]) + 0.1 * uniform();
		if (!aligned) return (2 * at + 1) / size - 1;
		return size === 1 ? at : (2 * at) / (size - 1) - 1;
	};
	const values = Array.from({ length: batch * sizeOf(out) }, () => [...image].reverse().map(coordinate)).flat();
	return tensor(Float32Array.from(values), [batch, ...out, image.length]);
}

const size = fc.integer({ min: 1, max: 5 });
const padding_mode = fc.constantFrom("zeros", "border", "reflection");
const align_corners = fc.constantFrom(0, 1);
const seed = fc.nat(1000);

/** The image exactly (sampling is linear in it), the places numerically. */
async function check(mode: string, padding: string, aligned: number, image: number[], out: number[], draw: number, opset = 20) {
	const batch = 2;
	const grid = places(image, batch, out, aligned, draw);
	const attributes = { mode, padding_mode: padding, align_corners: aligned };
	const dims = [batch, 3, ...image];
	await checkRule({ op: "GridSample", opset, inputs: [x(...dims), { constant: grid }], attributes, linear: true });
	if (mode !== "nearest")
		await checkRule({ op: "GridSample", opset, inputs: [x(...dims), { at: grid }], attributes, step: 1e-3, tolerance: 1e-2 });
}

describe("GridSample", () => {
	it.each(["linear", "nearest", "cubic"])("%s, any padding, alignment and size", (mode) =>
		fc.assert(
			fc.asyncProperty(padding_mode, align_corners, size, size, size, size, seed, (padding, aligned, h, w, rows, columns, draw) =>
				check(mode, padding, aligned, [h, w], [rows, columns], draw),
			),
			{ numRuns: 30, seed: 21 },
		),
	);

	it.each(["linear", "nearest"])("%s in a volume", (mode) =>
		fc.assert(
			fc.asyncProperty(padding_mode, align_corners, size, size, size, seed, (padding, aligned, d, h, w, draw) =>
				check(mode, padding, aligned, [d, h, w], [2, 1, 3], draw),
			),
			{ numRuns: 12, seed: 22 },
		),
	);

	it.each(["bilinear", "bicubic", "nearest"])("%s, as opset 16 to 19 spell it", (mode) => check(mode, "zeros", 0, [4, 5], [2, 3], 1, 18));

	it("gives the places of nearest sampling a gradient of zero, as PyTorch does", async () => {
		const b = graphBuilder();
		b.input("image", "float", [1, 1, 3, 3]);
		b.input("grid", "float", [1, 2, 2, 2]);
		b.output(b.op("GridSample", ["image", "grid"], { mode: "nearest" }, { name: "y" }), "float", ["*"]);
		const graph = vjp(await infer(b.build(), shapeRuntime), { of: ["y"], wrt: ["grid"], cotangents: { y: "ones" } });
		const session = await openSession(graph);
		const draw = random("places");
		const results = await session.run({
			image: tensor(draw.normals(9), [1, 1, 3, 3]),
			grid: tensor(draw.uniforms(8, -1, 1), [1, 2, 2, 2]),
		});
		await session.close();
		expect([...results["grad/grid"].data]).toEqual(new Array(8).fill(0));
	});
});
