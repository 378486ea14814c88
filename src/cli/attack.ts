/** @file `kintsugi attack`: adversarial versions of any images. */
import { Command } from "commander";
import { runAttack } from "../attacks/attack.ts";
import { createAttack, describeAttack } from "../attacks/schema.ts";
import { canonicalJson } from "../experiments/digest.ts";
import { canvasOptions, openClassifier } from "../experiments/open.ts";
import { writeWhole } from "../experiments/run-experiment.ts";
import { encodePng } from "../image/encode.ts";
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
import { note, printResult } from "./terminal.ts";

const MANUAL = `
Each image is put on the canvas (what is attacked is the canvas, not the original file), attacked, rounded to 8 bits without
leaving the budget, and classified again. The true labels are not known here: the classifier's own labels on the clean image
stand for them. Attacks are static: they know the classifier and no defence.

Files written to DIR for an image NAME.jpg:
  NAME.adversarial.png   the adversarial canvas, lossless
  NAME.attack.json       success before and after rounding, distances, labels and logits before and after, all options

Options of an attack that have no flag of their own are given with --set, as in experiment files: --set steps=10
--set norm=l2 --set labels=all-true --set loss=margin --set start=clean.

Exit codes: 0 every image was attacked (successfully or not); 1 failed, or an image could not be used (the others are done);
2 wrong use.

Examples:
  $ kintsugi attack cat.jpg --epsilon 8/255
  $ kintsugi attack photos/ --attack pgd --target random --out runs/targeted
  $ kintsugi attack photos/ --attack autoattack --preset autoattack --epsilon 4/255
  $ kintsugi attack street.jpg --experiment experiments/coco-yolox.yaml --epsilon 4/255`;

/** The flags about an attack. */
export interface AttackOptionFlags {
	attack: string;
	epsilon?: string;
	target?: string;
	preset?: string;
	set?: Record<string, unknown>;
}

interface AttackFlags extends ImageFlags, AttackOptionFlags {}

/** The command `attack`. */
export function attackCommand(): Command {
	const command = new Command("attack").description("make adversarial versions of images");
	return withGlobals(
		withImageOptions(command, "runs/attack")
			.option(
				"--attack <name>",
				"fgsm, pgd, mi-fgsm, di-fgsm, ti-fgsm, cw, deepfool, apgd, fab, square, autoattack, or noise (a control)",
				"fgsm",
			)
			.option("--epsilon <amount>", 'radius of the allowed change, pixels in [0, 1]: 0.05 or "8/255" (default: the preset\'s)')
			.option("--target <rule>", "targeted attack: random, least-likely, second-best, or a label")
			.option("--preset <name>", "whose defaults fill the other options: paper, torchattacks, foolbox, art or autoattack (default: paper)")
			.option("--set <key=value>", "any other option of the attack; repeatable", keyValue),
	)
		.addHelpText("after", MANUAL)
		.action(attackImages);
}

const RULES = ["none", "random", "least-likely", "second-best"];

/** An attack as an experiment file would say it; what was not given is undefined or left out. */
export function attackOf({ attack, epsilon, target, preset, set = {} }: AttackOptionFlags): Record<string, unknown> {
	const numeric = epsilon !== undefined && !Number.isNaN(Number(epsilon)) ? Number(epsilon) : epsilon;
	return {
		as: "attack",
		name: attack,
		...(preset === undefined ? {} : { preset }),
		...(numeric === undefined ? { epsilon: undefined } : { epsilon: numeric }),
		...(target === undefined ? {} : { target: RULES.includes(target) ? target : { label: target } }),
		...set,
	};
}

async function attackImages(paths: string[], flags: AttackFlags): Promise<void> {
	const asked = Object.fromEntries(Object.entries(attackOf(flags)).filter(([, value]) => value !== undefined));
	const experiment = await experimentOf(flags, { attacks: [asked] });
	const [{ spec }] = experiment.attacks;
	const { out, seed, threads } = flags;
	const failures: ImageFailure[] = [];
	const fail = (failure: ImageFailure) => failures.push(failure);
	const samples = await findImages(paths, fail);
	const canvas = canvasOptions(experiment);
	const classifier = await openClassifier(experiment.classifier, { base: experiment.base, canvas, labels: [], session: { threads } });
	const made = { classifier: { name: classifier.name, hash: classifier.hash }, canvas, seed };
	const rows: string[][] = [];
	const done: object[] = [];
	const warnings = new Set<string>();

	async function attackBatch(batch: readonly NamedImage[], context: BatchContext): Promise<void> {
		const images = stack(batch.map((image) => image.canvas));
		const ids = batch.map(({ sample }) => sample.id);
		const result = await runAttack(createAttack(spec), classifier, { images, ids, seed, ...context });
		for (const warning of result.warnings) if (!warning.startsWith("no true labels")) warnings.add(warning);
		for (const [i, { sample, name }] of batch.entries()) {
			const outcome = result.outcomes[i];
			const adversarial = resultPath(out, name, ".adversarial.png");
			const before = scoresOf(classifier, row(result.cleanLogits, i).data);
			const after = scoresOf(classifier, row(result.logits, i).data);
			const record = { image: sample.path, adversarial, threat: "static", attack: spec, outcome, before, after, made };
			await writeWhole(adversarial, await encodePng(row(result.images, i)));
			await writeWhole(resultPath(out, name, ".attack.json"), `${canonicalJson(record)}\n`);
			rows.push([sample.path, outcome.success ? "yes" : "no", before.top, after.top, `${Math.round(outcome.linf * 255)}/255`]);
			done.push({
				image: sample.path,
				adversarial,
				success: outcome.success,
				before: before.top,
				after: after.top,
				linf: outcome.linf,
				l2: outcome.l2,
			});
		}
	}

	await forBatches(samples, { flags, stage: `attack ${spec.name}`, experiment, fail }, attackBatch).finally(classifier.close);
	const table = { title: describeAttack(spec), columns: ["image", "success", "top label before", "after", "largest change"], rows };
	printResult(flags, `${textTable(table)}\n\nFiles in ${out}`, { attack: spec, threat: "static", out, images: done, failures });
	for (const warning of warnings) note(flags, `warning: ${warning}`);
	tellFailures(failures);
}
