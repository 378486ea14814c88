/** @file Runs a plan chunk by chunk: canvas, prediction, attack, regions, purification, classification, records. */

import type { AttackOutcome } from "../attacks/attack.ts";
import { outcomeWarnings } from "../attacks/warnings.ts";
import type { NamedAttack, Parts, Plan, PlannedImage } from "./plan.ts";
import { purifiersOf } from "./plan.ts";
import { type Progress, progressMeter } from "./progress.ts";
import { CLEAN, type FailureRow, NO_PURIFIER, type RecordRow, type Records } from "./records.ts";
import type { AttackData, CanvasData, PredictData, SlotFailure, StageContext } from "./stage.ts";
import { attackStage, canvasStage, detectStage, predictStage, purifyStage, regionsOf } from "./stages.ts";
import type { Artifact, ArtifactStore } from "./store.ts";

export interface RunOptions {
	store: ArtifactStore;
	records: Records;
	onProgress?: ((progress: Progress) => void) | undefined;
	/** A run that is aborted keeps every finished stage and continues from there when it is started again. */
	signal?: AbortSignal | undefined;
}

export interface RunResult {
	/** Rows of records and images that failed, over the whole plan. */
	rows: RecordRow[];
	failures: FailureRow[];
	/** What the attacks want the reader to know, with the attack's name. */
	warnings: string[];
	/** Damaged artifacts that were computed again. */
	damaged: number;
}

/** What the attacks said in all chunks, by name. */
export type AttackNotes = Map<string, { warnings: Set<string>; outcomes: AttackOutcome[] }>;

/** Counts of images are made anew over all chunks. */
export const attackWarnings = ({ warnings, outcomes }: { warnings: ReadonlySet<string>; outcomes: readonly AttackOutcome[] }): string[] => [
	...[...warnings].filter((warning) => !/^\d+ of \d+ images/.test(warning)),
	...outcomeWarnings(outcomes),
];

/** The units of one chunk, in the order in which they are done. */
function unitsOf(parts: Parts, repetitions: number): string[] {
	const defended = (attack: string): string[] => {
		const purifiers = purifiersOf(parts, attack);
		const detect = parts.detector && purifiers.some(({ purifier }) => purifier.needsRegions) ? ["detect"] : [];
		const each = purifiers.flatMap(({ name }) => Array.from({ length: repetitions }, () => [`purify ${name}`, "classify"]).flat());
		return [...detect, ...each];
	};
	return ["canvas", "classify", ...defended(CLEAN), ...parts.attacks.flatMap(({ name }) => [`attack ${name}`, ...defended(name)])];
}

/**
 * Runs every chunk of a plan. Everything that is stored already is read, so an interrupted run goes on where it stood;
 * batches depend on the plan alone, so it ends with the same bits.
 */
export async function runPlan(parts: Parts, plan: Plan, { store, records, onProgress, signal }: RunOptions): Promise<RunResult> {
	const units = plan.chunks.flatMap(() => unitsOf(parts, plan.repetitions));
	const meter = progressMeter(units, { onProgress });
	const context: StageContext = { parts, store, seed: plan.seed, meter, signal };
	const said: AttackNotes = new Map(parts.attacks.map(({ name }) => [name, { warnings: new Set(), outcomes: [] }]));
	for (const [index, chunk] of plan.chunks.entries()) {
		const run = chunkRun(context, plan, chunk, said);
		await run.all();
		await records.commit(plan.digest, index, run.rows, run.failures);
	}
	return {
		rows: await records.rows(plan.digest),
		failures: await records.failures(plan.digest),
		warnings: [...said].flatMap(([name, notes]) => attackWarnings(notes).map((warning) => `${name}: ${warning}`)),
		damaged: store.damaged(),
	};
}

/** All stages of one chunk, gathering its rows and failures. */
function chunkRun(context: StageContext, plan: Plan, chunk: readonly PlannedImage[], said: AttackNotes) {
	const { parts } = context;
	const rows: RecordRow[] = [];
	const failures: FailureRow[] = [];

	const fail = (stage: string, list: readonly SlotFailure[]) => {
		for (const { slot, code, message } of list) {
			const { position, sample } = chunk[slot];
			failures.push({ position, image: sample.id, stage, code, message });
		}
	};
	const truthOf = (slot: number): string[] | null => {
		const truth = parts.truth(chunk[slot].sample);
		return truth ? parts.classifier.labels.filter((_, k) => truth[k] > 0) : null;
	};

	async function all(): Promise<void> {
		const canvas = await canvasStage(context, chunk);
		fail("canvas", canvas.data.failures);
		const clean = await predictStage(context, canvas, "classify");
		fail("classify", clean.data.failures);
		const cleanLogits = new Map(clean.data.slots.map((slot, i) => [slot, clean.data.logits[i]]));
		await defend({ attack: undefined, images: { ...canvas, data: clean.data }, cleanLogits, canvas });
		for (const attack of parts.attacks) {
			const usable = { ...canvas, data: clean.data };
			const images = await attackStage(context, chunk, usable, attack);
			fail(`attack ${attack.name}`, images.data.failures);
			const notes = said.get(attack.name);
			for (const warning of images.data.warnings) notes?.warnings.add(warning);
			notes?.outcomes.push(...images.data.outcomes);
			await defend({ attack, images, cleanLogits, canvas });
		}
	}

	/** Records images as they are, then purifies and records them with every purifier that is asked for. */
	async function defend(input: {
		attack: NamedAttack | undefined;
		images: Artifact<PredictData | AttackData>;
		cleanLogits: ReadonlyMap<number, number[]>;
		canvas: Artifact<CanvasData>;
	}): Promise<void> {
		const { attack, images, cleanLogits, canvas } = input;
		const name = attack?.name ?? CLEAN;
		const purifiers = purifiersOf(parts, name);
		const needed = purifiers.some(({ purifier }) => purifier.needsRegions);
		const found = needed ? await detectStage(context, images) : undefined;
		if (found) fail(`detect ${name}`, found.data.failures);
		const share = images.data.slots.length || 1;

		const rowOf = (slot: number): RecordRow => {
			const i = images.data.slots.indexOf(slot);
			const outcome = "outcomes" in images.data ? images.data.outcomes[i] : undefined;
			const before = images.data.logits[i];
			return {
				position: chunk[slot].position,
				image: chunk[slot].sample.id,
				attack: name,
				purifier: NO_PURIFIER,
				repetition: 0,
				truth: truthOf(slot),
				target: outcome?.target ?? null,
				scoresClean: cleanLogits.get(slot) ?? [],
				scoresBefore: before,
				scoresAfter: before,
				success: outcome?.success ?? null,
				successBeforeRounding: outcome?.successBeforeRounding ?? null,
				alreadyFooled: outcome?.alreadyFooled ?? null,
				linf: outcome?.linf ?? 0,
				l2: outcome?.l2 ?? 0,
				nanCount: outcome?.nanCount ?? 0,
				zeroGradient: outcome?.zeroGradient ?? false,
				gradientEvaluations: outcome?.gradientEvaluations ?? 0,
				regions: [],
				canvasKey: canvas.key,
				beforeKey: images.key,
				afterKey: images.key,
				slot,
				secondsAttack: attack ? images.data.seconds / share : 0,
				secondsPurify: 0,
			};
		};

		rows.push(...images.data.slots.map(rowOf));
		for (const purifier of purifiers) {
			const regions = regionsOf(context, purifier, { chunk, canvas, images, found });
			for (let repetition = 0; repetition < plan.repetitions; repetition++) {
				const purified = await purifyStage(context, purifier, { chunk, images, regions, repetition });
				fail(`purify ${purifier.name} ${name}`, purified.data.failures);
				const scored = await predictStage(context, purified, "classify");
				fail(`classify ${purifier.name} ${name}`, scored.data.failures);
				scored.data.slots.forEach((slot, i) => {
					rows.push({
						...rowOf(slot),
						purifier: purifier.name,
						repetition,
						regions: regions.get(slot) ?? [],
						scoresAfter: scored.data.logits[i],
						afterKey: purified.key,
						secondsPurify: purified.data.seconds / share,
					});
				});
			}
		}
	}

	return { all, rows, failures };
}
