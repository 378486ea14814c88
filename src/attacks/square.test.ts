import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openTinyCnn, referenceImages } from "../../test/support/autoattack.ts";
import { random } from "../tensor/random.ts";
import { runAttack, takeRows } from "./attack.ts";
import { type AttackSpecInput, createAttack } from "./schema.ts";
import { proposals } from "./square-proposals.ts";
import { lengthOf } from "./surface.ts";
import { NORMS } from "./threat-model.ts";

const classifier = await openTinyCnn(8);
afterAll(() => classifier.close());
const COUNT = 12;
const { images, truth, ids } = referenceImages(COUNT);

type Square = Omit<Extract<AttackSpecInput, { name: "square" }>, "name">;
const run = (spec: Square, input: Partial<Parameters<typeof runAttack>[2]> = {}) =>
	runAttack(createAttack({ name: "square", preset: "autoattack", ...spec }), classifier, { images, truth, ids, seed: 1, ...input });
const successes = async (spec: Square) => (await run(spec)).outcomes.map((o) => o.success);
const count = (flags: boolean[]) => flags.filter(Boolean).length;

describe("Square", () => {
	it.each<Square>([{ epsilon: "20/255" }, { epsilon: 2.5, norm: "l2" }])(
		"fools without a gradient, and more images with more queries: %o",
		async (spec) => {
			const { outcomes } = await run({ ...spec, queries: 300 });
			for (const o of outcomes) expect(o.gradientEvaluations).toBe(0);
			const few = await successes({ ...spec, queries: 30 });
			expect(count(outcomes.map((o) => o.success))).toBeGreaterThan(count(few));
			for (const [n, was] of few.entries()) if (was) expect(outcomes[n].success).toBe(true);
		},
	);

	it("shortens the lead of the true label in images that it does not fool", async () => {
		const { outcomes, unrounded } = await run({ epsilon: "3/255", queries: 100 });
		const lossOf = await classifier.lossGradient("set-margin");
		const [before, after] = [(await lossOf(images, truth)).loss, (await lossOf(unrounded, truth)).loss];
		const robust = [...ids.keys()].filter((n) => !outcomes[n].successBeforeRounding);
		expect(robust.length).toBeGreaterThan(6);
		for (const n of robust) expect(after[n]).toBeGreaterThan(before[n]);
	});

	it("reaches targets", async () => {
		const { outcomes } = await run({ epsilon: "32/255", queries: 300, target: "second-best" });
		expect(count(outcomes.map((o) => o.success))).toBeGreaterThan(COUNT / 2);
	});

	it("shrinks its squares by the share of queries if asked, and so moves on sooner", async () => {
		const spec: Square = { epsilon: "24/255", queries: 200 };
		expect(count(await successes({ ...spec, rescaleSchedule: true }))).toBeGreaterThan(count(await successes(spec)));
	});

	it("gives an image the same result in any batch and order", async () => {
		const spec: Square = { epsilon: "8/255", queries: 60, restarts: 2 };
		const whole = await run(spec);
		const order = [7, 2, 9];
		const part = await run(spec, { images: takeRows(images, order), truth: takeRows(truth, order), ids: order.map(String) });
		expect(part.images.data).toEqual(takeRows(whole.images, order).data);
	});
});

describe("proposals of Square", () => {
	const size = fc.integer({ min: 4, max: 16 });
	it.each(NORMS)("%s: stay inside the budget and the box, in images of any shape and for squares of any size", (norm) => {
		fc.assert(
			fc.property(size, size, fc.nat(), fc.integer({ min: 1, max: 30 }), (height, width, seed, side) => {
				const stream = random(seed);
				const clean = stream.uniforms(3 * height * width);
				const proposal = { height, width, clean, epsilon: norm === "l2" ? 1 : 0.05, random: stream };
				const { start, next } = proposals[norm];
				let x = start(proposal);
				for (let i = 0; i < 4; i++) {
					const change = x.map((v, j) => v - clean[j]);
					expect(lengthOf(change, norm)).toBeLessThanOrEqual(proposal.epsilon + 1e-6);
					expect(lengthOf(change, norm)).toBeGreaterThan(0);
					expect(x.every((v) => v >= 0 && v <= 1)).toBe(true);
					x = next(proposal, x, side);
				}
			}),
			{ numRuns: 100 },
		);
	});

	it("linf: begins with stripes of one sign and changes one square of one colour", () => {
		const [height, width, epsilon] = [8, 10, 0.125];
		const proposal = { height, width, clean: new Float32Array(3 * height * width).fill(0.5), epsilon, random: random(3) };
		const x = proposals.linf.start(proposal);
		const at = (image: Float32Array, c: number, row: number, column: number) => image[(c * height + row) * width + column];
		for (const c of [0, 1, 2]) {
			for (let column = 0; column < width; column++) {
				expect(Math.abs(at(x, c, 0, column) - 0.5)).toBe(epsilon);
				for (let row = 1; row < height; row++) expect(at(x, c, row, column)).toBe(at(x, c, 0, column));
			}
		}
		const y = proposals.linf.next(proposal, x, 3);
		const changed = [...y.keys()].filter((i) => y[i] !== x[i]).map((i) => [Math.floor(i / width) % height, i % width]);
		const extent = (axis: number) => Math.max(...changed.map((p) => p[axis])) - Math.min(...changed.map((p) => p[axis])) + 1;
		expect(changed.length).toBeGreaterThan(0);
		expect(extent(0)).toBe(3);
		expect(extent(1)).toBeLessThanOrEqual(3);
	});

	it("l2: keeps the whole budget in use and changes two windows", () => {
		const proposal = { height: 16, width: 16, clean: new Float32Array(768).fill(0.5), epsilon: 0.5, random: random(4) };
		const x = proposals.l2.start(proposal);
		const y = proposals.l2.next(proposal, x, 6);
		for (const image of [x, y])
			expect(
				lengthOf(
					image.map((v) => v - 0.5),
					"l2",
				),
			).toBeCloseTo(0.5, 5);
		// Outside the two windows of 7 x 7 the whole change is only scaled.
		const used = [...x.keys()].filter((i) => Math.abs(x[i] - 0.5) > 1e-3);
		const scales = used.map((i) => (y[i] - 0.5) / (x[i] - 0.5)).sort((p, q) => p - q);
		const usual = scales[Math.floor(scales.length / 2)];
		expect(used.length).toBeGreaterThan(500);
		expect(scales.filter((v) => Math.abs(v - usual) > 1e-3).length).toBeLessThanOrEqual(3 * 2 * 49);
	});
});
