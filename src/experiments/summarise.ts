/** @file Records -> summary. */
import type { Judgement } from "../attacks/criteria.ts";
import type { AttackSpec } from "../attacks/schema.ts";
import { predictedLabels, targetsOf } from "../attacks/targets.ts";
import { attackSuccessRate } from "../metrics/attack-success.ts";
import { after, before, type Estimator, estimator } from "./panel.ts";
import { type NamedAttack, type Parts, type Plan, purifiersOf } from "./plan.ts";
import { CLEAN, type FailureRow, NO_PURIFIER, type RecordRow } from "./records.ts";
import type { AttackSummary, PurifiedSummary, Summary } from "./summary.ts";

export interface SummariseInput {
	name: string;
	parts: Parts;
	plan: Plan;
	rows: readonly RecordRow[];
	failures: readonly FailureRow[];
	warnings: readonly string[];
	bootstrap: { samples: number; confidence: number };
}

/** The summary of a run: a function of its plan and records alone, so equal runs have equal summaries. */
export function summarise({ name, parts, plan, rows, failures, warnings, bootstrap }: SummariseInput): Summary {
	const { classifier, dataset, detector } = parts;
	const clean = rows.filter((r) => r.attack === CLEAN && r.purifier === NO_PURIFIER);
	const estimate = estimator({
		labels: classifier.labels,
		thresholds: classifier.thresholds,
		positions: clean.map(({ position }) => position),
		seed: plan.seed,
		...bootstrap,
	});
	const context = { parts, rows, clean, estimate };
	const failed = new Set(failures.filter(({ position }) => !clean.some((r) => r.position === position)).map(({ position }) => position));
	return {
		format: 1,
		experiment: {
			name,
			seed: plan.seed,
			plan: plan.digest,
			images: dataset.samples.length,
			failed: failed.size,
			labels: classifier.labels,
			canvas: { height: classifier.canvas.height, width: classifier.canvas.width },
			bootstrap,
		},
		made: {
			dataset: { name: dataset.name, hash: dataset.hash },
			classifier: { name: classifier.name, hash: classifier.hash },
			detector: detector ? { name: detector.name, hash: detector.hash } : null,
			purifiers: parts.purifiers.map(({ name: as, purifier, purify, regions }) => ({
				name: as,
				purifier: purifier.name,
				options: { ...purifier.options, purify, ...(purifier.needsRegions ? { regions } : {}) },
			})),
		},
		clean: { panel: estimate.panel(clean.map(before)), purified: purifiedSummaries(context, CLEAN, clean) },
		attacks: parts.attacks.map((attack) => attackSummary(context, attack)),
		failures: failures.map(({ image, stage, code }) => ({ image, stage, code })),
		warnings: [...warnings, ...withoutRegions(context)],
	};
}

interface Context {
	parts: Parts;
	rows: readonly RecordRow[];
	clean: readonly RecordRow[];
	estimate: Estimator;
}

const mean = (values: readonly number[]): number => (values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length);

function attackSummary(context: Context, { name, family, spec }: NamedAttack): AttackSummary {
	const { rows, estimate, parts } = context;
	const attacked = rows.filter((r) => r.attack === name && r.purifier === NO_PURIFIER);
	const counted = attacked.filter((row) => attackSuccessRate(spec.criterion, [judgement(row, spec, parts)]).n > 0);
	return {
		attack: name,
		family,
		threat: "static",
		options: spec,
		epsilon: spec.epsilon,
		targeted: spec.target !== "none",
		criterion: spec.criterion,
		successRate: estimate.share(
			counted,
			counted.map(({ success }) => success === true),
		),
		successRateBeforeRounding: estimate.share(
			counted,
			counted.map(({ successBeforeRounding }) => successBeforeRounding === true),
		),
		alreadyFooled: attacked.filter(({ alreadyFooled }) => alreadyFooled).length,
		linf: attacked.reduce((most, { linf }) => Math.max(most, linf), 0),
		l2: mean(attacked.map(({ l2 }) => l2)),
		imagesWithZeroGradient: attacked.filter(({ zeroGradient }) => zeroGradient).length,
		nanCount: attacked.reduce((sum, { nanCount }) => sum + nanCount, 0),
		adversarial: estimate.panel(attacked.map(before)),
		purified: purifiedSummaries(context, name, attacked),
	};
}

/** What the criterion saw: where the truth is unknown, the model's own labels on the clean image stand for it. */
function judgement({ truth, scoresClean, scoresBefore, target }: RecordRow, spec: AttackSpec, { classifier }: Parts): Judgement {
	const { labels, thresholds } = classifier;
	const clean = Float32Array.from(scoresClean);
	const known = truth ? Float32Array.from(labels, (label) => (truth.includes(label) ? 1 : 0)) : predictedLabels(clean, thresholds);
	const logits = Float32Array.from(scoresBefore);
	return { clean, logits, truth: known, thresholds, target: targetsOf(spec.target, target, labels), k: spec.k };
}

/** A purifier of regions leaves images alone in which nothing was found: readers must know how many. */
function withoutRegions({ parts, rows }: Context): string[] {
	const attacks = [CLEAN, ...parts.attacks.map(({ name }) => name)];
	return attacks.flatMap((attack) =>
		purifiersOf(parts, attack)
			.filter(({ purifier }) => purifier.needsRegions)
			.flatMap(({ name }) => {
				const purified = rows.filter((r) => r.attack === attack && r.purifier === name && r.repetition === 0);
				const untouched = purified.filter(({ regions }) => regions.length === 0).length;
				return untouched === 0 ? [] : [`${attack}: ${name} found nothing to repaint in ${untouched} of ${purified.length} images`];
			}),
	);
}

function purifiedSummaries({ parts, rows, clean, estimate }: Context, attack: string, attacked: readonly RecordRow[]): PurifiedSummary[] {
	return purifiersOf(parts, attack).map(({ name, purifier }) => {
		const purified = rows.filter((r) => r.attack === attack && r.purifier === name);
		return {
			purifier: name,
			panel: estimate.panel(purified.map(after)),
			recovered:
				attack === CLEAN
					? null
					: estimate.recovered({ clean: clean.map(before), adversarial: attacked.map(before), purified: purified.map(after) }),
			images: new Set(purified.map(({ position }) => position)).size,
			regionsPerImage: purifier.needsRegions ? mean(purified.map(({ regions }) => regions.length)) : null,
		};
	});
}
