/** @file One image through the whole pipeline with the library. Run: npx tsx examples/attack-and-purify.ts [scene] [folder for the pictures] */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
	contactSheet,
	createAttack,
	decodeImage,
	findRegions,
	openClip,
	openDetector,
	openPurifier,
	overlayMask,
	perturbationPicture,
	regionsSchema,
	resolveModel,
	row,
	runAttack,
	stack,
	type Tensor,
	toCanvas,
	upscale,
	writePng,
} from "../src/index.ts";

const [id = "1", out = join("runs", "example")] = process.argv.slice(2);
const size = { height: 64, width: 64 };
const scene = new URL(`../data/scenes/val/${id.padStart(12, "0")}.png`, import.meta.url).pathname;

const { dir } = await resolveModel("mini-clip");
const classifier = await openClip({ folder: dir, canvas: size });
const detector = await openDetector({ kind: "detr", path: (await resolveModel("mini-yolos")).dir, batch: 1 });
const purifier = await openPurifier({ name: "segmentation-guided" });

/** The labels above their thresholds, best first. */
async function labelsOf(images: Tensor): Promise<string> {
	const logits = row(await classifier.predict(images), 0).data;
	const present = classifier.labels
		.map((label, k) => ({ label, above: logits[k] - classifier.thresholds[k] }))
		.filter(({ above }) => above > 0);
	return present
		.sort((a, b) => b.above - a.above)
		.map(({ label }) => label)
		.join(", ");
}

const { canvas } = toCanvas(await decodeImage(scene), size);
const clean = stack([canvas]);
const attack = createAttack({
	name: "pgd",
	epsilon: "8/255",
	stepSize: "2/255",
	steps: 20,
	loss: "set-cross-entropy",
	labels: "all-true",
	criterion: "top-label-wrong",
});
const { images: adversarial } = await runAttack(attack, classifier, { images: clean, ids: [id], seed: 0 });

// The defender sees the attacked image only: objects are looked for in it.
const [regions] = await findRegions(detector, regionsSchema.parse({}), { images: adversarial, ids: [id], seed: 0 });
const [purified] = await purifier.purify([{ id, image: row(adversarial, 0), regions }], { seed: 0 });

console.log("clean:      ", await labelsOf(clean));
console.log("adversarial:", await labelsOf(adversarial));
console.log("regions:    ", regions.map(({ label, score }) => `${label} ${score.toFixed(2)}`).join(", "));
console.log("purified:   ", await labelsOf(stack([purified.image])));

// Clean, adversarial, perturbation x 10, the objects found, purified.
const pictures = [
	canvas,
	row(adversarial, 0),
	perturbationPicture(canvas, row(adversarial, 0)),
	overlayMask(row(adversarial, 0), purified.mask, { boxes: regions.map(({ box }) => box), opacity: 0.25 }),
	purified.image,
];
await mkdir(out, { recursive: true });
await writePng(join(out, "adversarial.png"), row(adversarial, 0));
await writePng(join(out, "purified.png"), purified.image);
await writePng(
	join(out, "pipeline.png"),
	contactSheet(
		pictures.map((picture) => upscale(picture, 4)),
		{ columns: 5, gap: 8 },
	),
);
console.log(`pictures in ${out}`);
for (const part of [classifier, detector, purifier]) await part.close();
