/** @file The numbers of a run as tables, for the terminal, Markdown and HTML alike. Every number carries n and its interval. */

import { epsilonText } from "../experiments/schema.ts";
import type { Panel, PurifiedSummary, Summary } from "../experiments/summary.ts";
import type { Estimate } from "../metrics/intervals.ts";
import { attackLabel, escapeHtml, interval } from "./format.ts";

export interface Table {
	title: string;
	columns: readonly string[];
	rows: readonly (readonly string[])[];
}

/** Success of every attack. */
export function attackTable({ attacks }: Summary): Table {
	return {
		title: "Attack success rate (ASR)",
		columns: ["attack", "norm", "epsilon", "steps", "success means", "ASR", "before rounding", "largest change", "mean L2", "n"],
		rows: attacks.map((attack) => [
			attackLabel(attack),
			String(attack.options.norm ?? "linf"),
			epsilonText(attack.epsilon),
			String(attack.options.steps ?? 1),
			attack.criterion,
			interval(attack.successRate),
			interval(attack.successRateBeforeRounding),
			`${Math.round(attack.linf * 255)}/255`,
			attack.l2.toFixed(2),
			String(attack.successRate.n),
		]),
	};
}

const panelCells = (panel: Panel): string[] => {
	const metrics: Estimate[] = [panel.precisionAt1, panel.recall, panel.precision, panel.f1, panel.perLabelF1, panel.overallF1, panel.mAP];
	return metrics.map((estimate) => interval(estimate));
};

const PANEL = ["P@1", "recall", "precision", "F1", "CF1", "OF1", "mAP"];

function panelRows(images: string, before: Panel, purified: readonly PurifiedSummary[]): string[][] {
	return [
		[images, "none", ...panelCells(before), "", "", String(before.labelChanged.n)],
		...purified.map(({ purifier, panel, recovered, regionsPerImage }) => [
			images,
			purifier,
			...panelCells(panel),
			recovered ? interval(recovered) : "",
			regionsPerImage === null ? "" : regionsPerImage.toFixed(1),
			String(panel.labelChanged.n),
		]),
	];
}

/** Quality of the classifier on clean, adversarial and purified images. */
export function qualityTable({ clean, attacks }: Summary): Table {
	return {
		title: "Classification of clean, adversarial and purified images",
		columns: ["images", "purifier", ...PANEL, "P@1 recovered", "regions an image", "n"],
		rows: [
			...panelRows("clean", clean.panel, clean.purified),
			...attacks.flatMap((attack) => panelRows(attackLabel(attack), attack.adversarial, attack.purified)),
		],
	};
}

/** The paper's table in few columns, for the terminal. */
export function shortTable({ clean, attacks }: Summary): Table {
	const purifiers = [...new Set([...clean.purified, ...attacks.flatMap(({ purified }) => purified)].map(({ purifier }) => purifier))];
	const of = (purified: readonly PurifiedSummary[]) =>
		purifiers.map((name) => {
			const found = purified.find(({ purifier }) => purifier === name);
			return found ? interval(found.panel.precisionAt1) : "";
		});
	return {
		title: "P@1 = share of images whose top label is true; ASR = attack success rate; 95 % intervals",
		columns: ["images", "n", "ASR", "P@1", ...purifiers.map((name) => `P@1 ${name}`)],
		rows: [
			["clean", String(clean.panel.labelChanged.n), "", interval(clean.panel.precisionAt1), ...of(clean.purified)],
			...attacks.map((attack) => [
				attackLabel(attack),
				String(attack.successRate.n),
				interval(attack.successRate),
				interval(attack.adversarial.precisionAt1),
				...of(attack.purified),
			]),
		],
	};
}

/** Aligned columns. */
export function textTable({ title, columns, rows }: Table): string {
	const widths = columns.map((column, c) => Math.max(column.length, ...rows.map((row) => row[c].length)));
	const line = (cells: readonly string[]) =>
		cells
			.map((cell, c) => cell.padEnd(widths[c]))
			.join("  ")
			.trimEnd();
	return [title, "", line(columns), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n");
}

export function markdownTable({ title, columns, rows }: Table): string {
	const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
	return [...(title ? [`**${title}**`, ""] : []), line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}

export function htmlTable({ title, columns, rows }: Table): string {
	const range = (text: string) => escapeHtml(text).replace(/^(-?[\d.]+) (\[.*\])$/, "$1<small>$2</small>");
	const cells = (tag: string, values: readonly string[]) => values.map((value) => `<${tag}>${range(value)}</${tag}>`).join("");
	const body = rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("\n");
	return `<div class="table"><table>\n<caption>${escapeHtml(title)}</caption>\n<thead><tr>${cells("th", columns)}</tr></thead>\n<tbody>\n${body}\n</tbody>\n</table></div>`;
}
