/** @file Counts over a data set's rows, for its card. */
import type { AdversarialRow } from "./row.ts";

export interface AttackStatistics {
	attack: string;
	/** All options, as JSON. */
	options: string;
	images: number;
	/** Images that met the criterion before they were attacked; they are not among the successes. */
	alreadyFooled: number;
	/** Successes as stored, read back; and before rounding. */
	successes: number;
	successesBeforeRounding: number;
	linf: number;
	/** Mean over the images. */
	l2: number;
}

export interface LicenseStatistics {
	name: string | null;
	url: string | null;
	images: number;
}

export interface Statistics {
	attacks: AttackStatistics[];
	licenses: LicenseStatistics[];
	images: number;
	rows: number;
	width: number;
	height: number;
	/** Annotated objects on the images, counted once an image. */
	objects: number;
}

/** Goes through the rows once. */
export async function statisticsOf(rows: AsyncIterable<AdversarialRow>): Promise<Statistics> {
	const attacks = new Map<string, AttackStatistics>();
	const licenses = new Map<string, LicenseStatistics>();
	const total = { images: 0, rows: 0, width: 0, height: 0, objects: 0 };
	for await (const row of rows) {
		const { attack, attack_options: options, license: name, license_url: url } = row;
		const first = attacks.size === 0 || attacks.keys().next().value === attack;
		const of = attacks.get(attack) ?? {
			attack,
			options,
			images: 0,
			alreadyFooled: 0,
			successes: 0,
			successesBeforeRounding: 0,
			linf: 0,
			l2: 0,
		};
		attacks.set(attack, of);
		of.images++;
		of.alreadyFooled += Number(row.already_fooled);
		of.successes += Number(row.success_verified && !row.already_fooled);
		of.successesBeforeRounding += Number(row.success_before_rounding && !row.already_fooled);
		of.linf = Math.max(of.linf, row.linf);
		of.l2 += (row.l2 - of.l2) / of.images;
		total.rows++;
		total.width = row.width;
		total.height = row.height;
		if (!first) continue;
		const license = licenses.get(`${name} ${url}`) ?? { name, url, images: 0 };
		licenses.set(`${name} ${url}`, license);
		license.images++;
		total.images++;
		total.objects += row.objects.bbox.length;
	}
	return { ...total, attacks: [...attacks.values()], licenses: [...licenses.values()].sort((a, b) => b.images - a.images) };
}
