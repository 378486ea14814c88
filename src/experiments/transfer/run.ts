/** @file Attacks every classifier of an experiment and asks all of them what they see: chunk by chunk, resumable. */
import { join } from "node:path";
import type { AttackOutcome } from "../../attacks/attack.ts";
import { multiHot } from "../../datasets/targets.ts";
import { KintsugiError } from "../../errors.ts";
import { canonicalJson } from "../../hub/digest.ts";
import type { Classifier } from "../../models/classifier.ts";
import type { SessionOptions } from "../../runtime/index.ts";
import { type Experiment, modelName } from "../load.ts";
import { openClassifier, openParts } from "../open.ts";
import { makePlan, type Parts, type PlannedImage } from "../plan.ts";
import { type Progress, progressMeter } from "../progress.ts";
import { writeWhole } from "../run-experiment.ts";
import { type AttackNotes, attackWarnings } from "../runner.ts";
import type { StageContext } from "../stage.ts";
import { attackStage, canvasStage, predictStage } from "../stages.ts";
import { openStore } from "../store.ts";
import { type SummariseTransfer, summariseTransfer, type TransferRow, type TransferSummary } from "./summary.ts";

export interface RunTransferOptions {
	/** Folder of the run: artifacts/, transfer.json. A run that was interrupted there continues. */
	out: string;
	session?: SessionOptions | undefined;
	onProgress?: ((progress: Progress) => void) | undefined;
	signal?: AbortSignal | undefined;
}

interface Opened {
	first: Parts;
	/** Parts with each classifier in turn. */
	seats: { name: string; parts: Parts }[];
	warnings: string[];
}

/** Runs all attacks of an experiment on its classifier and on those under `transfer`, and writes the matrix. */
export async function runTransfer(experiment: Experiment, { out, session = {}, ...options }: RunTransferOptions): Promise<TransferSummary> {
	assertWorth(experiment);
	const store = await openStore(join(out, "artifacts"));
	const { first, seats, warnings } = await openSeats(experiment, session);
	try {
		const { repetitions, chunk, bootstrap: samples, confidence } = experiment.evaluation;
		const { chunks } = makePlan(first, { seed: experiment.seed, chunkSize: chunk, repetitions });
		const labels = commonLabels(
			first.dataset.labels,
			seats.map(({ parts }) => parts.classifier),
		);
		const units = chunks.flatMap(() => unitsOf(experiment, seats));
		const meter = progressMeter(units, { onProgress: options.onProgress });
		const contextOf = (parts: Parts): StageContext => ({ parts, store, seed: experiment.seed, meter, signal: options.signal });
		const found: Found = { rows: [], clean: new Map(seats.map(({ name }) => [name, []])), notes: new Map(), failed: new Set() };
		for (const images of chunks) await runChunk(images, { seats, labels, contextOf, found });
		const summary = summariseTransfer({
			name: experiment.name,
			seed: experiment.seed,
			images: first.dataset.samples.length,
			labels,
			canvas: first.classifier.canvas,
			dataset: { name: first.dataset.name, hash: first.dataset.hash },
			classifiers: seats.map(({ name, parts: { classifier } }) => ({ name, hash: classifier.hash, labels: classifier.labels.length })),
			attacks: experiment.attacks,
			bootstrap: { samples, confidence },
			warnings: [
				...warnings,
				...[...found.notes].flatMap(([name, notes]) => attackWarnings(notes).map((warning) => `${name}: ${warning}`)),
				...(found.failed.size > 0 ? [`${found.failed.size} images could not be used: ${[...found.failed].join(", ")}`] : []),
			],
			rows: found.rows,
			clean: found.clean,
		});
		await writeWhole(join(out, "transfer.json"), `${JSON.stringify(JSON.parse(canonicalJson(summary)), undefined, "\t")}\n`);
		return summary;
	} finally {
		for (const { parts } of seats.slice(1)) await parts.classifier.close();
		await first.close();
	}
}

function assertWorth({ attacks, transfer, data }: Experiment): void {
	const missing = transfer.length === 0 ? "transfer" : attacks.length === 0 ? "attacks" : data.coco === undefined ? "data.coco" : undefined;
	if (missing === undefined) return;
	throw new KintsugiError("config", {
		where: missing,
		expected: "a classifier to attack, another one, an attack, and annotated images",
		found: `an experiment without ${missing}`,
		fix: `add ${missing} to the experiment`,
	});
}

/** Opens the data set and all classifiers; an optional one that is missing is left out. */
async function openSeats(experiment: Experiment, session: SessionOptions): Promise<Opened> {
	const { detector: _, ...rest } = experiment;
	const first = await openParts({ ...rest, purifiers: [] }, session);
	const seats = [{ name: modelName(experiment.classifier), parts: first }];
	const warnings: string[] = [];
	try {
		for (const { name, file, optional } of experiment.transfer) {
			const { base } = experiment;
			const canvas = { ...first.classifier.canvas };
			const opening = openClassifier(file, { base, canvas, labels: first.dataset.labels, session });
			const classifier = await opening.catch((error: unknown) => {
				if (!optional || !(error instanceof KintsugiError) || error.code !== "model") throw error;
				warnings.push(`${name} is left out: ${error.message}`);
			});
			if (!classifier) continue;
			const truth: Parts["truth"] = (sample) => (sample.annotations ? multiHot(sample, classifier.labels) : undefined);
			seats.push({ name, parts: { ...first, classifier, truth } });
		}
	} catch (error) {
		for (const { parts } of seats.slice(1)) await parts.classifier.close();
		await first.close();
		throw error;
	}
	return { first, seats, warnings };
}

/** Labels of the data set that every classifier knows, by name; throws `config` if fewer than two are left. */
export function commonLabels(known: readonly string[], classifiers: readonly Pick<Classifier, "labels" | "name">[]): string[] {
	const common = known.filter((label) => classifiers.every(({ labels }) => labels.includes(label)));
	if (common.length >= 2) return common;
	throw new KintsugiError("config", {
		where: `labels of ${classifiers.map(({ name }) => name).join(", ")}`,
		expected: "at least two labels of the data set that all of them know, by name",
		found: common.join(", ") || "none",
		fix: "name the labels alike",
	});
}

const unitsOf = ({ attacks }: Experiment, seats: Opened["seats"]): string[] => [
	"canvas",
	...seats.map(({ name }) => `classify by ${name}`),
	...seats.flatMap(({ name: source }) =>
		attacks.flatMap(({ name }) => [
			`attack ${name}`,
			...seats.filter((seat) => seat.name !== source).map((seat) => `classify by ${seat.name}`),
		]),
	),
];

interface Found {
	rows: TransferRow[];
	clean: Map<string, Omit<TransferRow, "source" | "attack" | "adversarial" | "wanted">[]> & SummariseTransfer["clean"];
	/** What the attacks said, by attack and source. */
	notes: AttackNotes;
	/** Ids of images that some stage could not handle. */
	failed: Set<string>;
}

interface ChunkWork {
	seats: Opened["seats"];
	labels: readonly string[];
	contextOf(parts: Parts): StageContext;
	found: Found;
}

async function runChunk(images: readonly PlannedImage[], { seats, labels, contextOf, found }: ChunkWork): Promise<void> {
	const [{ parts: first }] = seats;
	const restricted = ({ labels: own }: Classifier, logits: readonly number[]) => labels.map((label) => logits[own.indexOf(label)]);
	const note = (failures: readonly { slot: number }[]) => {
		for (const { slot } of failures) found.failed.add(images[slot].sample.id);
	};
	const truthOf = (slot: number) => {
		const present = new Set(images[slot].sample.annotations?.map(({ label }) => label));
		return labels.filter((label) => present.has(label));
	};
	const canvas = await canvasStage(contextOf(first), images);
	note(canvas.data.failures);
	/** Images with at least one common label, with what each classifier sees in them unattacked. */
	const clean = new Map<string, Map<number, number[]>>();
	for (const { name, parts } of seats) {
		const { data } = await predictStage(contextOf(parts), canvas, `classify by ${name}`);
		note(data.failures);
		const scores = data.slots.map((slot, i): [number, number[]] => [slot, restricted(parts.classifier, data.logits[i])]);
		clean.set(name, new Map(scores.filter(([slot]) => truthOf(slot).length > 0)));
		for (const [slot, logits] of clean.get(name) ?? [])
			found.clean.get(name)?.push({ position: images[slot].position, judge: name, truth: truthOf(slot), clean: logits });
	}
	for (const { name: source, parts } of seats) {
		for (const attack of parts.attacks) {
			const adversarial = await attackStage(contextOf(parts), images, canvas, attack);
			note(adversarial.data.failures);
			remember(found.notes, `${attack.name} on ${source}`, adversarial.data);
			const wanted = new Map(adversarial.data.slots.map((slot, i) => [slot, adversarial.data.outcomes[i].target]));
			for (const judge of seats) {
				const same = judge.name === source;
				const { data } = same ? adversarial : await predictStage(contextOf(judge.parts), adversarial, `classify by ${judge.name}`);
				for (const [i, slot] of data.slots.entries()) {
					const before = clean.get(judge.name)?.get(slot);
					if (!before) continue;
					const target = wanted.get(slot);
					found.rows.push({
						position: images[slot].position,
						source,
						attack: attack.name,
						judge: judge.name,
						truth: truthOf(slot),
						clean: before,
						adversarial: restricted(judge.parts.classifier, data.logits[i]),
						wanted: target !== undefined && labels.includes(target) ? target : undefined,
					});
				}
			}
		}
	}
}

function remember(notes: AttackNotes, name: string, { warnings, outcomes }: { warnings: string[]; outcomes: AttackOutcome[] }): void {
	const known = notes.get(name) ?? { warnings: new Set(), outcomes: [] };
	notes.set(name, known);
	for (const warning of warnings) known.warnings.add(warning);
	known.outcomes.push(...outcomes);
}
