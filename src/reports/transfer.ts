/** @file The matrix of a transfer run: tables, Markdown, and a page with one coloured matrix an attack. */
import type { CustomSeriesRenderItem } from "echarts";
import type { TransferCell, TransferSummary } from "../experiments/transfer/summary.ts";
import type { Estimate } from "../metrics/intervals.ts";
import { axisStyle, FONT, INK, render } from "./figures.ts";
import { escapeHtml, interval, withN } from "./format.ts";
import { page } from "./page.ts";
import { htmlTable, markdownTable, type Table } from "./tables.ts";

type Attack = TransferSummary["attacks"][number];

const namesOf = ({ classifiers }: TransferSummary) => classifiers.map(({ name }) => name);

function cellOf({ cells }: TransferSummary, attack: string, source: string, judge: string): TransferCell | undefined {
	return cells.find((cell) => cell.attack === attack && cell.source === source && cell.judge === judge);
}

const measured = ({ targeted }: Attack): string =>
	targeted ? "share of images whose top label becomes the wanted one" : "share of images whose top label was true and becomes wrong";

/** Clean quality of every classifier on the common labels. */
export const classifierTable = ({ classifiers }: TransferSummary): Table => ({
	title: "Classifiers on unattacked images: share whose top label is true, among the common labels",
	columns: ["classifier", "labels", "P@1", "n"],
	rows: classifiers.map(({ name, labels, precisionAt1 }) => [name, String(labels), interval(precisionAt1), String(precisionAt1.n)]),
});

function matrix(summary: TransferSummary, attack: Attack, title: string, value: (cell: TransferCell) => Estimate): Table {
	const names = namesOf(summary);
	const cell = (source: string, judge: string) => {
		const found = cellOf(summary, attack.attack, source, judge);
		return found ? withN(value(found)) : "";
	};
	return {
		title,
		columns: ["attacked \\ judged by", ...names],
		rows: names.map((source) => [source, ...names.map((judge) => cell(source, judge))]),
	};
}

/** One matrix an attack: rows are the classifiers that were attacked, columns those that judge. */
export const successTables = (summary: TransferSummary): Table[] =>
	summary.attacks.map((attack) => matrix(summary, attack, `${attack.attack} (static): ${measured(attack)}`, ({ success }) => success));

const precisionTables = (summary: TransferSummary): Table[] =>
	summary.attacks.map((attack) =>
		matrix(summary, attack, `${attack.attack} (static): P@1 of adversarial images`, ({ precisionAt1 }) => precisionAt1),
	);

const CELL = { width: 118, height: 62 };

/** Success as shades: the darker, the more often; the diagonal is the classifier that was attacked itself. */
export function matrixFigure(summary: TransferSummary, { attack }: Attack): string {
	const names = namesOf(summary);
	const cells = names.flatMap((source, y) =>
		names.flatMap((judge, x) => {
			const success = cellOf(summary, attack, source, judge)?.success;
			return success?.value === null || success === undefined ? [] : [{ x, y, success, value: success.value }];
		}),
	);
	const renderItem: CustomSeriesRenderItem = (_params, api) => {
		const { x, y, value, success } = cells[Number(api.value(2))];
		const [left, top] = api.coord([x, y]).map((at, axis) => at - (axis === 0 ? CELL.width : CELL.height) / 2);
		const centre = {
			x: left + CELL.width / 2,
			align: "center" as const,
			verticalAlign: "middle" as const,
			fill: INK,
			fontFamily: "inherit",
		};
		return {
			type: "group",
			children: [
				{
					type: "rect",
					shape: { x: left + 2, y: top + 2, width: CELL.width - 4, height: CELL.height - 4, r: 4 },
					style: { fill: "var(--adversarial)", opacity: 0.06 + 0.6 * value },
				},
				{ type: "text", style: { ...centre, y: top + 24, text: value.toFixed(2), fontSize: FONT + 4 } },
				{ type: "text", style: { ...centre, y: top + 44, text: `${interval(success).slice(5)}, n = ${success.n}`, fontSize: FONT - 3 } },
			],
		};
	};
	const axis = { ...axisStyle, type: "category" as const, data: names, axisTick: { show: false }, splitLine: { show: false } };
	const left = 24 + 7.5 * Math.max(...names.map((name) => name.length));
	const option = {
		grid: { left, right: 8, top: 44, bottom: 8 },
		xAxis: { ...axis, position: "top" as const, name: "judged by", nameLocation: "middle" as const, nameGap: 26 },
		yAxis: { ...axis, inverse: true },
		series: [{ type: "custom" as const, data: cells.map(({ x, y }, i) => [x, y, i]), renderItem, silent: true }],
	};
	return render(option, left + 8 + CELL.width * names.length, 52 + CELL.height * names.length);
}

const FACT = "Every attack is static: it knows the classifier in its row, and neither the others nor a defence.";

const explanation = ({ labels }: TransferSummary): string =>
	`Each row is a classifier that was attacked, each column one that judges the same adversarial images, stored with 8 bits. The diagonal is the attack on the classifier itself. All decisions are made among the ${labels.length} labels that the data set and all classifiers know by name. Values carry 95 % intervals and the number of images.`;

/** The matrices as Markdown. */
export function transferMarkdown(summary: TransferSummary): string {
	const { name, images, dataset, seed } = summary;
	return [
		`# ${name}: transfer of attacks`,
		`${images} images of ${dataset.name}, seed ${seed}. ${explanation(summary)} ${FACT}`,
		markdownTable(classifierTable(summary)),
		...successTables(summary).map(markdownTable),
		...precisionTables(summary).map(markdownTable),
		...(summary.warnings.length > 0 ? [`Warnings:\n\n${summary.warnings.map((warning) => `- ${warning}`).join("\n")}`] : []),
	]
		.join("\n\n")
		.concat("\n");
}

/** The matrices as one HTML page. */
export function transferPage(summary: TransferSummary, version: string): string {
	const { name, images, dataset, classifiers, labels, canvas, seed, attacks, warnings } = summary;
	const facts = [
		`${images} images of ${dataset.name}`,
		`${classifiers.length} classifiers`,
		`${labels.length} common labels`,
		`canvas ${canvas.width} x ${canvas.height}`,
		`seed ${seed}`,
	];
	const tables = successTables(summary);
	const figures = attacks.map(
		(attack, i) => `<h2>${escapeHtml(attack.attack)} (static)</h2>
<figure aria-label="${escapeHtml(tables[i].rows.map((row) => row.join(" ")).join("; "))}">${matrixFigure(summary, attack)}
<figcaption>Rows: the classifier that was attacked. Shown: ${escapeHtml(measured(attack))}.</figcaption></figure>`,
	);
	const hashes = classifiers.map(({ name: classifier, hash }) => [`classifier ${classifier}`, hash]);
	const options = Object.fromEntries(attacks.map((attack) => [attack.attack, attack.options]));
	const body = `<header>
<p class="kind">Kintsugi transfer matrix</p>
<h1>${escapeHtml(name)}</h1>
<p class="facts">${facts.map(escapeHtml).join(" &middot; ")}</p>
</header>
<section class="found"><p>${escapeHtml(explanation(summary))}</p></section>
<aside><h2>What this does not show</h2><p>${escapeHtml(FACT)}</p></aside>
${figures.join("\n")}
<h2>All numbers</h2>
${[classifierTable(summary), ...tables, ...precisionTables(summary)].map(htmlTable).join("\n")}
${warnings.length > 0 ? `<h2>Warnings</h2><ul>${warnings.map((warning) => `<li>${escapeHtml(warning)}</li>`).join("")}</ul>` : ""}
<h2>What made these numbers</h2>
${htmlTable({ title: "sha256", columns: ["what", "hash"], rows: [[`data set ${dataset.name}`, dataset.hash], ...hashes] })}
<details><summary>Options of every attack</summary><pre>${escapeHtml(JSON.stringify(options, undefined, 2))}</pre></details>`;
	return page({ title: name, body, footer: `Made by Kintsugi ${version}. The same numbers, for programs: transfer.json.` });
}
