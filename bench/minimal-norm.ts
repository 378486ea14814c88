/** @file How near the attacks without a budget come on mini-clip, beside the smallest PGD and FGSM that fool as well: `npx tsx bench/minimal-norm.ts [images] [name]`. */
import { join } from "node:path";
import { runAttack, takeRows } from "../src/attacks/attack.ts";
import { type AttackSpecInput, createAttack } from "../src/attacks/schema.ts";
import { norm2 } from "../src/attacks/threat-model.ts";
import { openCoco } from "../src/datasets/coco.ts";
import { multiHot } from "../src/datasets/targets.ts";
import { toCanvas } from "../src/image/canvas.ts";
import { decodeImage } from "../src/image/decode.ts";
import { openClip } from "../src/models/clip.ts";
import { row, stack, tensor } from "../src/tensor/tensor.ts";

const root = join(import.meta.dirname, "..");
const [count = "24", only = ""] = process.argv.slice(2);

const canvas = { height: 64, width: 64 };
const classifier = await openClip({ folder: join(root, "models/mini-clip"), canvas });
const dataset = await openCoco({
	images: join(root, "data/scenes/val"),
	annotations: join(root, "data/scenes/annotations/instances_val.json"),
});
const samples = dataset.samples.slice(0, Number(count));
const input = {
	images: stack(await Promise.all(samples.map(async (s) => toCanvas(await decodeImage(s.path), canvas).canvas))),
	truth: stack(samples.map((s) => tensor(multiHot(s, classifier.labels), [classifier.labels.length]))),
	ids: samples.map((s) => s.id),
};
const { ids } = input;

/** One image: whether it was fooled, and the length of its change, before rounding to 8 bits and after it. */
interface Found {
	before: boolean;
	after: boolean;
	l2: number;
	storedL2: number;
	linf: number;
	gradients: number;
}

/** Attacks the images of these rows. */
async function attack(spec: AttackSpecInput, rows = input.ids.map((_, n) => n)): Promise<Found[]> {
	const [images, truth] = [takeRows(input.images, rows), takeRows(input.truth, rows)];
	const { outcomes, unrounded } = await runAttack(createAttack(spec), classifier, { images, truth, ids: rows.map((n) => ids[n]), seed: 1 });
	return outcomes.map((o, i) => {
		const change = row(unrounded, i).data.map((v, j) => v - row(images, i).data[j]);
		const linf = change.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
		const { successBeforeRounding: before, success: after, l2: storedL2, gradientEvaluations: gradients } = o;
		return { before, after, l2: norm2(change), storedL2, linf, gradients };
	});
}

/** Budgets grow by so much until an image is fooled; then three smaller ones are tried between the last two. */
const GRID = 1.12;

/** The smallest budget with which each image is fooled. */
async function smallest(at: (epsilon: number) => AttackSpecInput, from: number, to: number): Promise<Found[]> {
	const best: Found[] = ids.map(() => ({ before: false, after: false, l2: 0, storedL2: 0, linf: 0, gradients: 0 }));
	const keep = (rows: number[], found: Found[]) =>
		rows.forEach((n, i) => {
			const gradients = best[n].gradients + found[i].gradients;
			best[n] = { ...(found[i].before ? found[i] : best[n]), gradients };
		});
	for (let epsilon = from; epsilon < to; epsilon *= GRID) {
		const open = [...best.keys()].filter((n) => !best[n].before);
		if (open.length === 0) break;
		keep(open, await attack(at(epsilon), open));
		const hit = open.filter((n) => best[n].before);
		for (const share of hit.length > 0 ? [0.75, 0.5, 0.25] : []) keep(hit, await attack(at(epsilon * GRID ** (share - 1)), hit));
	}
	return best;
}

const pgd = (epsilon: number): AttackSpecInput => ({ name: "pgd", norm: "l2", epsilon, stepSize: epsilon / 6, steps: 20 });
const short = { kappa: 0, c: 0.01, searchSteps: 6, steps: 60, stop: "never" } as const;
const rows: [string, () => Promise<Found[]>][] = [
	["DeepFool, L2", () => attack({ name: "deepfool" })],
	["FGSM, L2, smallest that fools", () => smallest((epsilon) => ({ name: "fgsm", norm: "l2", epsilon }), 0.02, 40)],
	["PGD, L2, 20 steps, smallest that fools", () => smallest(pgd, 0.03, 5)],
	["PGD, L2, 20 steps, epsilon 0.5", () => attack(pgd(0.5))],
	["CW, kappa 0, 6 x 60 steps of 0.002", () => attack({ name: "cw", ...short, learningRate: 0.002 })],
	["CW, kappa 0, 8 x 150 steps of 0.001", () => attack({ name: "cw", ...short, searchSteps: 8, steps: 150, learningRate: 0.001 })],
	["CW, kappa 0, 6 x 60 steps of 0.01", () => attack({ name: "cw", ...short, learningRate: 0.01 })],
	["DeepFool, L-infinity", () => attack({ name: "deepfool", norm: "linf" })],
	["FGSM, L-infinity, smallest that fools", () => smallest((epsilon) => ({ name: "fgsm", epsilon }), 0.0002, 1)],
	["CW, kappa 10, 4 x 60 steps of 0.01", () => attack({ name: "cw", kappa: 10, c: 0.1, searchSteps: 4, steps: 60, stop: "never" })],
	["CW as the paper's preset, kappa 0", () => attack({ name: "cw", kappa: 0 })],
	["CW as the paper's preset", () => attack({ name: "cw" })],
];

const mean = (found: Found[], of: (f: Found) => number) => found.reduce((sum, f) => sum + of(f), 0) / Math.max(1, found.length);
console.log(`${classifier.name}, n = ${ids.length}; lengths are means over the fooled images\n`);
console.log(
	"| attack | fooled | fooled as stored | L2 | L2 as stored | L-infinity x 255 | gradients an image | s |\n|---|---|---|---|---|---|---|---|",
);
for (const [name, make] of rows.filter(([name]) => name.startsWith(only))) {
	const start = performance.now();
	const all = await make();
	const fooled = all.filter((f) => f.before);
	const stored = all.filter((f) => f.after);
	const cells = [
		name,
		`${fooled.length}/${all.length}`,
		`${stored.length}/${all.length}`,
		mean(fooled, (f) => f.l2).toFixed(3),
		mean(stored, (f) => f.storedL2).toFixed(3),
		mean(fooled, (f) => 255 * f.linf).toFixed(2),
		mean(all, (f) => f.gradients).toFixed(0),
		((performance.now() - start) / 1000).toFixed(0),
	];
	console.log(`| ${cells.join(" | ")} |`);
}
await classifier.close();
