/** @file The contract of every attack, and the wrapper that clips, rounds and judges what an attack returns (design D7). */
import type { Classifier, LossGradient, LossName } from "../models/classifier.ts";
import { type Random, random } from "../tensor/random.ts";
import { row, stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { argmax, type CriterionName, criteria } from "./criteria.ts";
import { averaged } from "./eot.ts";
import { type Counters, countingGradients, negated, nonFinite } from "./gradients.ts";
import { type AttackInput, checkInput } from "./input.ts";
import { roundAndJudge } from "./rounding.ts";
import { chooseTargets, hotAt, type LabelRule, lossLabels, predictedLabels, type TargetRule } from "./targets.ts";
import { type Distance, distance, type Norm, project, quantize } from "./threat-model.ts";
import { optionWarnings, outcomeWarnings } from "./warnings.ts";

/** What every attack's options say; each attack adds its own. Plain data that serialises to JSON. */
export interface AttackOptions {
	readonly name: string;
	readonly norm: Norm;
	/** Radius of the allowed change in pixels of [0, 1]. */
	readonly epsilon: number;
	readonly criterion: CriterionName;
	/** Loss and labels of the objective; left out by attacks that have none. */
	readonly loss?: LossName;
	readonly labels?: LabelRule;
	/** Calls of the classifier that one gradient is the mean of; default 1. */
	readonly eot?: number;
	readonly target: "none" | TargetRule;
	/** k of the loss "ranking" and of the criterion "top-k-lost". */
	readonly k?: number;
}

/** What an attack works on. Rows are indices into `images`. */
export interface AttackProblem {
	/** Clean 8-bit images `[N, 3, H, W]` in [0, 1]. */
	readonly images: Tensor;
	/**
	 * Gradient of the objective that the attack raises at `candidates` `[rows.length, 3, H, W]`: the loss, or its negative
	 * for a targeted attack. Entries that are not finite are counted for the report and replaced by zero.
	 */
	objective(rows: readonly number[], candidates: Tensor): Promise<LossGradient>;
	/** Logits `[rows.length, K]` of candidates `[rows.length, 3, H, W]`. */
	predict(rows: readonly number[], candidates: Tensor): Promise<Tensor>;
	/** Any loss with any targets `[rows.length, K]`, as it is (not negated); a row may stand there several times. Counts as `objective` does. */
	lossGradient(loss: LossName, rows: readonly number[], candidates: Tensor, targets: Tensor): Promise<LossGradient>;
	/** Logits `[N, K]` of the clean images. */
	readonly cleanLogits: Tensor;
	/** True for a targeted attack: `wanted` is then what it moves towards, else what it moves away from. */
	readonly targeted: boolean;
	/** Multi-hot labels `[K]` of row `n` that the objective is computed for. */
	wanted(n: number): Float32Array;
	/** True if these logits `[K]` of row `n` meet the criterion. */
	fooled(n: number, logits: Float32Array): boolean;
	/** The random stream of row `n`: it belongs to the image, not to its place in the batch (design D8). */
	random(n: number): Random;
	/** The same streams as `random` has in another attack: a part of an attack draws what it would draw alone. */
	randomOf(attack: string): (n: number) => Random;
	/** Adds a doubt to the result's warnings. */
	warn(doubt: string): void;
	/** Reports the share of work done, in [0, 1]; throws if the run was cancelled. */
	progress(done: number): void;
}

export interface Attack<O extends AttackOptions = AttackOptions> {
	readonly options: O;
	/** Candidates `[N, 3, H, W]`; the wrapper brings them back into the ball and into [0, 1]. */
	perturb(problem: AttackProblem): Promise<Tensor>;
}

/** A label with its logit. */
export interface LabelledLogit {
	label: string;
	logit: number;
}

/** What happened to one image. */
export interface AttackOutcome extends Distance {
	id: string;
	/** Meets the criterion before rounding to 8 bits. */
	successBeforeRounding: boolean;
	/** Meets the criterion as it is stored. */
	success: boolean;
	/** The clean image meets the criterion already: not a success of the attack. */
	alreadyFooled: boolean;
	/** Target label of a targeted attack; of several, their names with " + " between. */
	target?: string;
	topBefore: LabelledLogit;
	topAfter: LabelledLogit;
	/** Values of gradients and candidates that were not finite. */
	nanCount: number;
	/** At least one gradient was zero everywhere: the attack had no direction to go. */
	zeroGradient: boolean;
	gradientEvaluations: number;
}

export interface AttackResult {
	/** Adversarial images `[N, 3, H, W]`, rounded to 8 bits, never outside the budget. */
	images: Tensor;
	/** The same before rounding: inside the budget and [0, 1]. */
	unrounded: Tensor;
	/** Logits `[N, K]` of the clean and of the rounded adversarial images. */
	cleanLogits: Tensor;
	logits: Tensor;
	outcomes: AttackOutcome[];
	options: AttackOptions;
	warnings: string[];
}

/** What an attack raises: the loss of the wanted labels, or its negative for a targeted attack. */
export const objectiveOf =
	(loss: LossName, { lossGradient, wanted, targeted }: Pick<AttackProblem, "lossGradient" | "wanted" | "targeted">) =>
	async (rows: readonly number[], candidates: Tensor): Promise<LossGradient> => {
		const targets = stack(rows.map((n) => tensor(wanted(n), [wanted(n).length])));
		const result = await lossGradient(loss, rows, candidates, targets);
		return targeted ? negated(result) : result;
	};

/** Rows `rows` of a tensor, copied: `[rows.length, ...rest]`. */
export const takeRows = (t: Tensor, rows: readonly number[]): Tensor => stack(rows.map((n) => row(t, n)));

/**
 * Attacks images and judges the result on what will be stored: candidates are projected to the budget and to [0, 1],
 * rounded to 8 bits without leaving the budget, and classified again. Success is reported before and after rounding.
 */
export async function runAttack(attack: Attack, classifier: Classifier, input: AttackInput): Promise<AttackResult> {
	const { options } = attack;
	const warnings = optionWarnings(options);
	const { ids, seed, repetition = 0 } = input;
	const offLattice = checkInput(classifier, input);
	if (offLattice > 0) warnings.push(`clean images were rounded to 8 bits first (largest change ${offLattice.toPrecision(2)})`);
	const images = offLattice > 0 ? tensor(quantize(input.images.data), input.images.dims) : input.images;
	const rows = ids.map((_, n) => n);
	const counters: Counters[] = rows.map(() => ({ nan: 0, zeroGradients: 0, evaluations: 0 }));
	const stream = (n: number, stage: string) => random(seed, ids[n], stage, repetition);

	input.signal?.throwIfAborted();
	const cleanLogits = await classifier.predict(images);
	const clean = rows.map((n) => row(cleanLogits, n).data);
	if (!input.truth) warnings.push("no true labels given: the model's own labels on the clean images stand for them");
	const truth = rows.map((n) => (input.truth ? row(input.truth, n).data : predictedLabels(clean[n], classifier.thresholds)));
	const { labels, thresholds } = classifier;
	const { target: rule } = options;
	// The stream of targets does not know the attack: attacks that are compared want the same label of an image.
	const targets = rows.map((n) =>
		rule === "none"
			? undefined
			: chooseTargets(rule, { id: ids[n], labels, clean: clean[n], truth: truth[n], random: stream(n, "attack/target") }),
	);
	const wanted = rows.map((n) => {
		const target = targets[n];
		return target === undefined ? lossLabels(options.labels ?? "predicted", clean[n], truth[n]) : hotAt(target, labels.length);
	});
	const fooled = (n: number, logits: Float32Array) => {
		const judgement = { clean: clean[n], logits, truth: truth[n], thresholds, target: targets[n], k: options.k };
		return criteria[options.criterion](judgement);
	};

	const asked = {
		targeted: rule !== "none",
		wanted: (n: number) => wanted[n],
		lossGradient: averaged(countingGradients(classifier, counters, { signal: input.signal, k: options.k }), options.eot ?? 1),
	};
	const randomOf = (name: string) => (n: number) => stream(n, `attack/${name}`);
	const candidates = await attack.perturb({
		...asked,
		images,
		cleanLogits,
		fooled,
		objective: objectiveOf(options.loss ?? "cross-entropy", asked),
		random: randomOf(options.name),
		randomOf,
		warn: (doubt) => warnings.push(doubt),
		progress(done) {
			input.signal?.throwIfAborted();
			input.onProgress?.(done);
		},
		predict(_rows, points) {
			input.signal?.throwIfAborted();
			return classifier.predict(points);
		},
	});

	const unrounded = tensor(candidates.data.slice(), images.dims);
	for (const n of rows) {
		const candidate = row(unrounded, n).data;
		const pixels = row(images, n).data;
		counters[n].nan += nonFinite(candidate);
		for (let i = 0; i < candidate.length; i++) if (!Number.isFinite(candidate[i])) candidate[i] = pixels[i];
		project(candidate, pixels, options);
	}
	const floatLogits = await classifier.predict(unrounded);
	const { rounded, logits, lengthened } = await roundAndJudge({ images, unrounded, floatLogits, options, classifier, fooled });
	if (lengthened > 0) warnings.push(`${lengthened} of ${ids.length} images: the change was lengthened to survive rounding to 8 bits`);
	const top = (values: Float32Array) => ({ label: labels[argmax(values)], logit: values[argmax(values)] });
	const outcomes = rows.map((n): AttackOutcome => {
		const target = targets[n];
		return {
			id: ids[n],
			successBeforeRounding: fooled(n, row(floatLogits, n).data),
			success: fooled(n, row(logits, n).data),
			alreadyFooled: fooled(n, clean[n]),
			...(target === undefined ? {} : { target: target.map((k) => labels[k]).join(" + ") }),
			topBefore: top(clean[n]),
			topAfter: top(row(logits, n).data),
			...distance(row(rounded, n).data, row(images, n).data),
			nanCount: counters[n].nan,
			zeroGradient: counters[n].zeroGradients > 0,
			gradientEvaluations: counters[n].evaluations,
		};
	});
	warnings.push(...outcomeWarnings(outcomes));
	return { images: rounded, unrounded, cleanLogits, logits, outcomes, options, warnings };
}
