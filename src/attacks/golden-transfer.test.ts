/** @file MI-, DI- and TI-FGSM, BIM and FGSM under L2 against torchattacks and Foolbox: golden vectors from test/golden/attacks_transfer.py. */
import { afterAll, describe, expect, it } from "vitest";
import { floats, type GoldenAttacks, named, openGolden } from "../../test/support/golden-attacks.ts";
import { type Random, random } from "../tensor/random.ts";
import { row } from "../tensor/tensor.ts";
import { type Attack, runAttack } from "./attack.ts";
import { shrunk } from "./diversity.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { gaussian } from "./translation.ts";

type Draw = { int: number; of: number } | { uniform: number };

interface Golden extends GoldenAttacks {
	runs: { library: string; spec: AttackSpecInput; draws: Draw[]; x: string; undecided: number[] }[];
	views: { size: number; top: number; left: number; view: string; adjoint: string }[];
	kernel: string;
}

const { golden, input, classifier } = await openGolden<Golden>("attacks_transfer.json");
afterAll(() => classifier.close());

/** Gives out recorded draws, each only where the same kind of draw from the same range is asked for. */
function replay(draws: readonly Draw[]): Random & { left(): number } {
	let next = 0;
	return {
		...random("no other draw is allowed"),
		int(n) {
			const draw = draws[next++];
			if (!("int" in draw) || draw.of !== n) throw new Error(`an integer below ${n} is asked for, recorded is ${JSON.stringify(draw)}`);
			return draw.int;
		},
		uniform() {
			const draw = draws[next++];
			if (!("uniform" in draw)) throw new Error(`a uniform number is asked for, recorded is ${JSON.stringify(draw)}`);
			return draw.uniform;
		},
		left: () => draws.length - next,
	};
}

const worst = (a: Float32Array, b: Float32Array) => a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);

describe("parity with published transfer attacks", () => {
	it.each(named(golden.runs))("%s: %s", async (_, __, { spec, draws, x, undecided }) => {
		const attack = createAttack(spec);
		const streams = input.ids.map(() => replay(draws));
		const replayed: Attack = { ...attack, perturb: (problem) => attack.perturb({ ...problem, random: (n) => streams[n] }) };
		const { unrounded } = await runAttack(replayed, classifier, input);
		const expected = floats(x);
		const open = new Set(undecided);
		const wrong = [...unrounded.data.keys()].filter((i) => Math.abs(unrounded.data[i] - expected[i]) > 1e-5);
		expect(wrong.filter((i) => !open.has(i))).toEqual([]);
		expect(wrong.length).toBeLessThanOrEqual(2);
		expect(streams.map((stream) => stream.left())).toEqual([0, 0, 0, 0]);
	});

	it.each(golden.views)(
		"shrinks an image to $size at ($top, $left) and carries gradients back as torch does",
		({ size, top, left, ...expected }) => {
			const view = shrunk({ height: 16, width: 16 }, { size: { height: size, width: size }, top, left });
			expect(worst(view.apply(row(input.images, 0).data), floats(expected.view))).toBeLessThan(1e-6);
			expect(worst(view.adjoint(row(input.images, 1).data), floats(expected.adjoint))).toBeLessThan(1e-5);
		},
	);

	it("smooths with torchattacks' kernel", () => {
		const one = gaussian({ kernel: 15, kernelReach: 3 });
		const kernel = Float32Array.from({ length: 225 }, (_, i) => one[Math.floor(i / 15)] * one[i % 15]);
		expect(worst(kernel, floats(golden.kernel))).toBeLessThan(1e-8);
	});
});
