/** @file The report as one self-contained HTML page: no scripts, no network. */
import type { FailureRow } from "../experiments/records.ts";
import type { Summary } from "../experiments/summary.ts";
import { precisionFigure, successFigure, successText } from "./figures.ts";
import { duration, escapeHtml } from "./format.ts";
import type { Gallery, GalleryCell, TopLabel } from "./gallery.ts";
import { caveats, headline } from "./headline.ts";
import { page } from "./page.ts";
import { attackTable, htmlTable, qualityTable, type Table } from "./tables.ts";

/** Mean seconds of computation an image. */
export interface Cost {
	what: string;
	seconds: number;
	images: number;
}

export interface ReportInput {
	summary: Summary;
	galleries: readonly Gallery[];
	costs: readonly Cost[];
	failures: readonly FailureRow[];
	/** The experiment as it was run, every default filled in. */
	experiment: string;
	/** Version of the program. */
	version: string;
}

/** A whole HTML document. */
export function renderReport({ summary, galleries, costs, failures, experiment, version }: ReportInput): string {
	const { name } = summary.experiment;
	const body = `${top(summary)}
${figures(summary)}
${galleries.map(gallerySection).join("\n")}
<h2>All numbers</h2>
<p class="note">Value [95 % bootstrap interval]. P@1: share of images whose top label is true. Recall, precision and F1: labels above their thresholds, averaged over images; CF1 over labels, OF1 over all decisions. mAP: mean average precision over the labels present. P@1 recovered: (purified - adversarial) / (clean - adversarial).</p>
${summary.attacks.length > 0 ? htmlTable(attackTable(summary)) : ""}
${htmlTable(qualityTable(summary))}
${costs.length > 0 ? htmlTable(costTable(costs)) : ""}
${notes(summary, failures)}
${provenance(summary, experiment)}`;
	const footer = `Made by Kintsugi ${version}. The same numbers, for programs: summary.json; one row an image, attack and purifier: records.duckdb.`;
	return page({ title: name, body, footer });
}

function top(summary: Summary): string {
	const { name, images, failed, labels, canvas, seed } = summary.experiment;
	const facts = [
		`${images - failed} of ${images} images of ${summary.made.dataset.name}`,
		`${labels.length} labels`,
		`canvas ${canvas.width} x ${canvas.height}`,
		`classifier ${summary.made.classifier.name}`,
		...(summary.made.detector ? [`detector ${summary.made.detector.name}`] : []),
		`seed ${seed}`,
	];
	return `<header>
<p class="kind">Kintsugi report</p>
<h1>${escapeHtml(name)}</h1>
<p class="facts">${facts.map(escapeHtml).join(" &middot; ")}</p>
</header>
<section class="found">
${headline(summary)
	.map((sentence) => `<p>${escapeHtml(sentence)}</p>`)
	.join("\n")}
</section>
<aside>
<h2>What this does not show</h2>
${caveats(summary)
	.map((sentence) => `<p>${escapeHtml(sentence)}</p>`)
	.join("\n")}
</aside>`;
}

function figures(summary: Summary): string {
	const success = successFigure(summary);
	const precision = precisionFigure(summary);
	const parts: string[] = [];
	if (success) {
		parts.push(`<h2>How often the attacks succeed</h2>
<figure aria-label="${escapeHtml(successText(summary))}">${success}
<figcaption>Attack success rate by epsilon, static attacks, with 95 % intervals. What counts as success stands in the table of attacks.</figcaption></figure>`);
	}
	if (precision) {
		parts.push(`<h2>What purification gives back</h2>
<figure>${precision}
<figcaption>Share of images whose top label is true, with 95 % intervals. The first group shows what each purifier costs on images that nobody attacked.</figcaption></figure>`);
	}
	return parts.join("\n");
}

function gallerySection({ attack, rows }: Gallery): string {
	if (rows.length === 0) return `<h2>Images: ${escapeHtml(attack)} (static)</h2>\n<p class="note">The attack succeeded on no image.</p>`;
	const body = rows
		.map(({ image, truth, target, cells }) => {
			const known = truth ? `truth: <b>${escapeHtml(truth.join(", ") || "no label")}</b>` : "truth unknown";
			const wanted = target ? `; the attacker wants <b>${escapeHtml(target)}</b>` : "";
			return `<div class="row"><p>image ${escapeHtml(image)} &middot; ${known}${wanted}</p><div class="cells">${cells.map(cell).join("\n")}</div></div>`;
		})
		.join("\n");
	return `<h2>Images: ${escapeHtml(attack)} (static)</h2>
<p class="note">The first images on which the attack succeeded, chosen by their order and not by their looks. Under each picture the three top labels with their margins over the label's threshold (logits; above 0 the label counts as present); true labels are marked &#10003;. Perturbations are magnified around grey; outside the mask the pixels are those of the adversarial image.</p>
<div class="rows">${body}</div>`;
}

function cell({ title, picture, labels }: GalleryCell): string {
	const list = labels.length > 0 ? `<ol>${labels.map(topLabel).join("")}</ol>` : "";
	return `<figure class="cell"><h4>${escapeHtml(title)}</h4><img src="${picture}" alt="${escapeHtml(title)}">${list}</figure>`;
}

function topLabel({ label, margin, right }: TopLabel): string {
	const classes = [right ? "right" : "", margin > 0 ? "" : "below"].filter(Boolean).join(" ");
	const sign = margin > 0 ? "+" : "&minus;";
	return `<li class="${classes}"><span>${escapeHtml(label)}${right ? " &#10003;" : ""}</span><span>${sign}${Math.abs(margin).toFixed(1)}</span></li>`;
}

const costTable = (costs: readonly Cost[]): Table => ({
	title: "Cost (wall-clock time on the machine of this run)",
	columns: ["step", "time an image", "images"],
	rows: costs.map(({ what, seconds, images }) => [what, duration(seconds), String(images)]),
});

function notes({ warnings }: Summary, failures: readonly FailureRow[]): string {
	const parts: string[] = [];
	if (warnings.length > 0) {
		parts.push(`<h2>Warnings</h2><ul>${warnings.map((warning) => `<li>${escapeHtml(warning)}</li>`).join("")}</ul>`);
	}
	if (failures.length > 0) {
		const rows = failures.map(({ image, stage, message }) => [image, stage, message]);
		parts.push(
			`<h2>Images that failed</h2>\n<p class="note">They are left out of the numbers from the named stage on.</p>\n${htmlTable({ title: `${failures.length} failures`, columns: ["image", "stage", "reason"], rows })}`,
		);
	}
	return parts.join("\n");
}

function provenance(summary: Summary, experiment: string): string {
	const { made } = summary;
	const rows = [
		["plan (everything that decides the records)", summary.experiment.plan],
		[`data set ${made.dataset.name}`, made.dataset.hash],
		[`classifier ${made.classifier.name}`, made.classifier.hash],
		...(made.detector ? [[`detector ${made.detector.name}`, made.detector.hash]] : []),
	];
	const options = {
		attacks: Object.fromEntries(summary.attacks.map((a) => [a.attack, a.options])),
		purifiers: Object.fromEntries(made.purifiers.map((p) => [p.name, p.options])),
	};
	return `<h2>What made these numbers</h2>
${htmlTable({ title: "sha256", columns: ["what", "hash"], rows })}
<details><summary>Options of every attack and purifier</summary><pre>${escapeHtml(JSON.stringify(options, undefined, 2))}</pre></details>
<details><summary>The experiment, every default filled in</summary><pre>${escapeHtml(experiment)}</pre></details>`;
}
