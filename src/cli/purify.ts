/** @file `kintsugi purify`: repaired versions of any images. */
import { Command } from "commander";
import { KintsugiError } from "../errors.ts";
import { canonicalJson } from "../experiments/digest.ts";
import { canvasOptions, openClassifier, openDetectorFile, openPurifierSpec } from "../experiments/open.ts";
import { writeWhole } from "../experiments/run-experiment.ts";
import { encodePng } from "../image/encode.ts";
import { overlayMask } from "../image/overlay.ts";
import { findRegions } from "../regions/regions.ts";
import { textTable } from "../reports/tables.ts";
import { row, stack } from "../tensor/tensor.ts";
import {
	type BatchContext,
	experimentOf,
	findImages,
	forBatches,
	type ImageFailure,
	type ImageFlags,
	type NamedImage,
	resultPath,
	scoresOf,
	tellFailures,
	withImageOptions,
} from "./images.ts";
import { keyValue, withGlobals } from "./options.ts";
import { printResult } from "./terminal.ts";

const MANUAL = `
Each image is put on the canvas, objects are looked for in it, and the purifier repaints them. Images may be clean or
adversarial; nothing has to be known about an attack.

Purifiers: segmentation-guided (each object in its own box, with its label as the prompt), naive (the whole image, no mask),
ddpm (noise and denoise), and the controls vae, jpeg and blur.

Files written to DIR for an image NAME.png:
  NAME.purified.png   the purified canvas, lossless
  NAME.mask.png       the image as it came, with the mask (what may change) tinted and the objects' boxes drawn
  NAME.purify.json    regions with labels, scores, boxes and prompts; labels and logits before and after; all options

Options of the purifier are given with --set, of the regions with --region, as in experiment files.

Exit codes: 0 every image was purified; 1 failed, or an image could not be used (the others are done); 2 wrong use.

Examples:
  $ kintsugi purify runs/attack/cat.adversarial.png
  $ kintsugi purify runs/attack/*.png --set steps=10 --region threshold=0.3 --region prompt=empty
  $ kintsugi purify photo.jpg --set crop=16 --set scheduler=dpm-solver --set steps=10
  $ kintsugi purify photo.jpg --purifier ddpm --set t=40 --experiment experiments/coco-yolox.yaml`;

interface PurifyFlags extends ImageFlags {
	purifier: string;
	set?: Record<string, unknown>;
	region?: Record<string, unknown>;
}

/** The command `purify`. */
export function purifyCommand(): Command {
	const command = new Command("purify").description("repair images where objects stand");
	return withGlobals(
		withImageOptions(command, "runs/purify")
			.option("--purifier <name>", "segmentation-guided, naive, ddpm, vae, jpeg or blur", "segmentation-guided")
			.option("--set <key=value>", "an option of the purifier, e.g. strength=0.8; repeatable", keyValue)
			.option("--region <key=value>", "an option of the regions, e.g. threshold=0.3; repeatable", keyValue),
	)
		.addHelpText("after", MANUAL)
		.action(purifyImages);
}

async function purifyImages(paths: string[], flags: PurifyFlags): Promise<void> {
	const { out, seed, threads, purifier: name, set = {}, region } = flags;
	const experiment = await experimentOf(flags, { purifiers: [{ name, ...set }], regions: region });
	const [asked] = experiment.purifiers;
	if (!asked) {
		throw new KintsugiError("usage", {
			where: "--purifier",
			expected: "a purifier that changes images",
			found: name,
			fix: "choose segmentation-guided, naive, ddpm, vae, jpeg or blur",
		});
	}
	const failures: ImageFailure[] = [];
	const fail = (failure: ImageFailure) => failures.push(failure);
	const samples = await findImages(paths, fail);
	const canvas = canvasOptions(experiment);
	const opened: { close(): Promise<void> }[] = [];
	const keep = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
		opened.push(await opening);
		return opening;
	};
	const rows: string[][] = [];
	const done: object[] = [];
	try {
		const where = { base: experiment.base, session: { threads } };
		const classifier = await keep(openClassifier(experiment.classifier, { ...where, canvas, labels: [] }));
		const purifier = await keep(openPurifierSpec(asked.spec, where));
		const detector = purifier.needsRegions && experiment.detector ? await keep(openDetectorFile(experiment.detector, where)) : undefined;
		const made = {
			classifier: { name: classifier.name, hash: classifier.hash },
			...(detector ? { detector: { name: detector.name, hash: detector.hash }, regions: asked.regions } : {}),
			purifier: { name: purifier.name, options: purifier.options },
			canvas,
			seed,
		};

		const purifyBatch = async (batch: readonly NamedImage[], context: BatchContext): Promise<void> => {
			const images = stack(batch.map((image) => image.canvas));
			const ids = batch.map(({ sample }) => sample.id);
			const regions = detector ? await findRegions(detector, asked.regions, { images, ids, seed }) : batch.map(() => []);
			const inputs = batch.map((image, i) => ({ id: image.sample.id, image: image.canvas, regions: regions[i] }));
			const purified = await purifier.purify(inputs, { seed, ...context });
			const logitsBefore = await classifier.predict(images);
			const logitsAfter = await classifier.predict(stack(purified.map(({ image }) => image)));
			for (const [i, { sample, name: stem, canvas: image }] of batch.entries()) {
				const before = scoresOf(classifier, row(logitsBefore, i).data);
				const after = scoresOf(classifier, row(logitsAfter, i).data);
				const paths = { purified: resultPath(out, stem, ".purified.png"), mask: resultPath(out, stem, ".mask.png") };
				const boxes = regions[i].map(({ box }) => box);
				await writeWhole(paths.purified, await encodePng(purified[i].image));
				await writeWhole(paths.mask, await encodePng(overlayMask(image, purified[i].mask, { boxes })));
				const record = { image: sample.path, ...paths, regions: regions[i], before, after, made };
				await writeWhole(resultPath(out, stem, ".purify.json"), `${canonicalJson(record)}\n`);
				rows.push([sample.path, String(boxes.length), before.top, after.top]);
				done.push({ image: sample.path, ...paths, regions: regions[i], before: before.top, after: after.top });
			}
		};
		await forBatches(samples, { flags, stage: `purify ${purifier.name}`, experiment, fail }, purifyBatch);
	} finally {
		for (const part of opened) await part.close();
	}
	const table = { title: `purified by ${asked.spec.name}`, columns: ["image", "regions", "top label before", "after"], rows };
	printResult(flags, `${textTable(table)}\n\nFiles in ${out}`, { purifier: asked.spec, out, images: done, failures });
	tellFailures(failures);
}
