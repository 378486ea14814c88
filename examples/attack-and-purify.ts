/** @file One image through the whole pipeline with the library. Run: npx tsx examples/attack-and-purify.ts [folder for the pictures] */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
	createAttack,
	decodeImage,
	findRegions,
	openClip,
	openDetector,
	openPurifier,
	regionsSchema,
	resolveModel,
	row,
	runAttack,
	stack,
	type Tensor,
	toCanvas,
	writePng,
} from "../src/index.ts";

const out = process.argv[2] ?? join("runs", "example");
const size = { height: 64, width: 64 };
const scene = new URL("../data/scenes/val/000000000001.png", import.meta.url).pathname;

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
const attack = createAttack({ name: "pgd", epsilon: 8 / 255, steps: 40, stepSize: 2 / 255 });
const { images: adversarial } = await runAttack(attack, classifier, { images: clean, ids: ["1"], seed: 0 });

// The defender sees the attacked image only: objects are looked for in it.
const [regions] = await findRegions(detector, regionsSchema.parse({}), { images: adversarial, ids: ["1"], seed: 0 });
const [purified] = await purifier.purify([{ id: "1", image: row(adversarial, 0), regions }], { seed: 0 });

console.log("clean:      ", await labelsOf(clean));
console.log("adversarial:", await labelsOf(adversarial));
console.log("regions:    ", regions.map(({ label, score }) => `${label} ${score.toFixed(2)}`).join(", "));
console.log("purified:   ", await labelsOf(stack([purified.image])));

await mkdir(out, { recursive: true });
await writePng(join(out, "clean.png"), canvas);
await writePng(join(out, "adversarial.png"), row(adversarial, 0));
await writePng(join(out, "purified.png"), purified.image);
console.log(`pictures in ${out}`);
for (const part of [classifier, detector, purifier]) await part.close();
