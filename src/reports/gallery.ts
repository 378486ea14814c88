/** @file The qualitative grid: for a few images each stage as a picture, with the top labels under it. */
import sharp from "sharp";
import { maskName, pictureName, readMask, readPicture } from "../experiments/pictures.ts";
import { NO_PURIFIER, type RecordRow } from "../experiments/records.ts";
import type { Artifact, ArtifactStore } from "../experiments/store.ts";
import { encodePng } from "../image/encode.ts";
import { overlayMask, perturbationPicture } from "../image/overlay.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface TopLabel {
	label: string;
	/** Logit minus the label's threshold: above 0 the label counts as present. */
	margin: number;
	/** Undefined where the truth is unknown. */
	right: boolean | undefined;
}

export interface GalleryCell {
	title: string;
	/** Data URI. */
	picture: string;
	labels: TopLabel[];
}

export interface GalleryRow {
	image: string;
	truth: readonly string[] | null;
	target: string | null;
	cells: GalleryCell[];
}

export interface Gallery {
	attack: string;
	rows: GalleryRow[];
}

export interface GalleryOptions {
	store: ArtifactStore;
	labels: readonly string[];
	thresholds: ArrayLike<number>;
	/** Attacks and purifiers in the order in which they are shown. */
	attacks: readonly string[];
	purifiers: readonly string[];
	/** Images shown for each attack. */
	images?: number;
}

const TOP = 3;
/** Perturbations are shown this many times their size, around grey. */
const MAGNIFY = 10;
/** Wider pictures are stored as WebP: a page of large PNG files would be too heavy to send. */
const PNG_SIDE = 160;

/** The galleries of all attacks that were defended against (or of all attacks): the first images on which each attack succeeded. */
export async function makeGalleries(
	rows: readonly RecordRow[],
	{ store, labels, thresholds, attacks, purifiers, images = 4 }: GalleryOptions,
): Promise<Gallery[]> {
	const defended = attacks.filter((attack) => rows.some((r) => r.attack === attack && r.purifier !== NO_PURIFIER));
	const artifacts = new Map<string, Artifact | undefined>();
	const open = async (key: string) => {
		if (!artifacts.has(key)) artifacts.set(key, await store.get(key));
		return artifacts.get(key);
	};
	const top = (scores: readonly number[], truth: readonly string[] | null): TopLabel[] =>
		scores
			.map((score, k) => ({ label: labels[k], margin: score - thresholds[k], right: truth?.includes(labels[k]), score }))
			.sort((a, b) => b.score - a.score)
			.slice(0, TOP)
			.map(({ label, margin, right }) => ({ label, margin, right }));

	async function galleryRow(row: RecordRow): Promise<GalleryRow | undefined> {
		const [canvas, before] = [await open(row.canvasKey), await open(row.beforeKey)];
		if (!canvas || !before) return undefined;
		const clean = await readPicture(canvas, pictureName(row.slot));
		const adversarial = await readPicture(before, pictureName(row.slot));
		const cells: GalleryCell[] = [
			{ title: "clean", picture: await dataUri(clean), labels: top(row.scoresClean, row.truth) },
			{ title: "adversarial", picture: await dataUri(adversarial), labels: top(row.scoresBefore, row.truth) },
			{
				title: `perturbation x ${MAGNIFY}`,
				picture: await dataUri(perturbationPicture(clean, adversarial, { gain: MAGNIFY })),
				labels: [],
			},
		];
		const purified = rows
			.filter((r) => r.attack === row.attack && r.position === row.position && r.purifier !== NO_PURIFIER && r.repetition === 0)
			.sort((a, b) => purifiers.indexOf(a.purifier) - purifiers.indexOf(b.purifier));
		for (const { purifier, afterKey, scoresAfter, slot, truth, regions } of purified) {
			const after = await open(afterKey);
			if (!after) continue;
			if (regions.length > 0 && after.files.has(maskName(slot))) {
				const overlay = overlayMask(adversarial, await readMask(after, slot), { boxes: regions.map(({ box }) => box) });
				cells.push({ title: `mask: ${purifier}`, picture: await dataUri(overlay), labels: [] });
			}
			const picture = await dataUri(await readPicture(after, pictureName(slot)));
			cells.push({ title: `purified: ${purifier}`, picture, labels: top(scoresAfter, truth) });
		}
		return { image: row.image, truth: row.truth, target: row.target, cells };
	}

	const galleries: Gallery[] = [];
	for (const attack of defended.length > 0 ? defended : attacks) {
		const fooled = rows.filter((r) => r.attack === attack && r.purifier === NO_PURIFIER && r.success === true);
		const shown: GalleryRow[] = [];
		for (const row of fooled.slice(0, images)) {
			const made = await galleryRow(row);
			if (made) shown.push(made);
		}
		galleries.push({ attack, rows: shown });
	}
	return galleries;
}

async function dataUri(picture: Tensor): Promise<string> {
	const png = await encodePng(picture);
	if (picture.dims[2] <= PNG_SIDE) return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
	const webp = await sharp(png).webp({ quality: 90 }).toBuffer();
	return `data:image/webp;base64,${webp.toString("base64")}`;
}
