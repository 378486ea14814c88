import { describe, expect, it } from "vitest";
import { attackSchema } from "../../attacks/schema.ts";
import { summariseTransfer, type TransferRow } from "./summary.ts";

const labels = ["cat", "dog", "bus"];
const row = (position: number, clean: number[], adversarial: number[], more: Partial<TransferRow> = {}): TransferRow => ({
	position,
	source: "a",
	attack: "fgsm",
	judge: "b",
	truth: ["cat"],
	clean,
	adversarial,
	wanted: undefined,
	...more,
});
const summarise = (rows: TransferRow[], spec: Parameters<typeof attackSchema.parse>[0] = { name: "fgsm", epsilon: 0.1 }) =>
	summariseTransfer({
		name: "test",
		seed: 0,
		images: 4,
		labels,
		canvas: { height: 8, width: 8 },
		dataset: { name: "d", hash: "h" },
		bootstrap: { samples: 200, confidence: 0.95 },
		warnings: [],
		classifiers: [{ name: "b", hash: "h", labels: 3 }],
		attacks: [{ name: "fgsm", family: "fgsm", spec: attackSchema.parse(spec) }],
		rows: rows.map((r) => ({ ...r, source: "b" })),
		clean: new Map([["b", rows.map(({ position, judge, truth, clean }) => ({ position, judge, truth, clean }))]]),
	});

describe("transfer summary", () => {
	it("counts, of the images that were right, those that became wrong", () => {
		const { cells, classifiers } = summarise([
			row(0, [3, 1, 0], [1, 3, 0]), // right, then wrong
			row(1, [3, 1, 0], [3, 1, 0]), // right, stays right
			row(2, [1, 3, 0], [1, 0, 3]), // wrong from the start
			row(3, [0, 3, 1], [3, 0, 1], { truth: ["cat", "dog"] }), // another true label takes the top
		]);
		expect(cells).toHaveLength(1);
		expect(cells[0].success).toMatchObject({ value: 1 / 3, n: 3 });
		expect(cells[0].precisionAt1).toMatchObject({ value: 2 / 4, n: 4 });
		expect(classifiers[0].precisionAt1).toMatchObject({ value: 3 / 4, n: 4 });
	});

	it("asks of a targeted attack whether its label stands at the top, where the judge can know it", () => {
		const { cells } = summarise(
			[
				row(0, [3, 1, 0], [0, 1, 3], { wanted: "bus" }),
				row(1, [1, 3, 0], [0, 3, 1], { wanted: "bus" }),
				row(2, [3, 1, 0], [0, 1, 3], { wanted: undefined }),
			],
			{ name: "pgd", target: "random" },
		);
		expect(cells[0].success).toMatchObject({ value: 1 / 2, n: 2 });
	});

	it("says nothing where nothing can be said", () => {
		const [cell] = summarise([row(0, [0, 3, 1], [0, 1, 3])]).cells;
		expect(cell.success).toMatchObject({ value: null, n: 0 });
	});
});
