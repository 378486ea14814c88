/** @file The paper's figures as SVG (Apache ECharts, rendered without a browser); colours are CSS variables of the page. */
import type { CustomSeriesOption, CustomSeriesRenderItem, EChartsOption } from "echarts";
import { BarChart, CustomChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { UNBOUNDED } from "../attacks/threat-model.ts";
import { epsilonText } from "../experiments/schema.ts";
import type { Panel, PurifiedSummary, Summary } from "../experiments/summary.ts";
import type { Estimate } from "../metrics/intervals.ts";
import { attackFamilies, attackLabel } from "./format.ts";

use([BarChart, CustomChart, LineChart, GridComponent, LegendComponent, SVGRenderer]);

/** CSS variables that the page must define; series take --series-1 .. --series-8. */
export const INK = "var(--ink)";
const MUTED = "var(--muted)";
const RULE = "var(--rule)";
export const FONT = 13;

const seriesColour = (i: number): string => `var(--series-${(i % 8) + 1})`;

export function render(option: EChartsOption, width: number, height: number): string {
	const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
	try {
		chart.setOption({ animation: false, textStyle: { fontFamily: "inherit", fontSize: FONT, color: INK }, ...option });
		return chart.renderToSVGString().replace("<svg ", '<svg role="img" ');
	} finally {
		chart.dispose();
	}
}

export const axisStyle = {
	axisLine: { show: true, lineStyle: { color: RULE } },
	axisTick: { lineStyle: { color: RULE } },
	axisLabel: { color: MUTED, fontSize: FONT },
	nameTextStyle: { color: INK, fontSize: FONT },
	splitLine: { lineStyle: { color: RULE, opacity: 0.5 } },
};

const legend = (names: readonly string[]) => ({
	data: names.map((name) => ({ name })),
	top: 0,
	left: 0,
	itemWidth: 14,
	itemHeight: 10,
	itemGap: 18,
	textStyle: { color: INK, fontSize: FONT },
});

const shareAxis = (name: string) => ({
	...axisStyle,
	type: "value" as const,
	name,
	nameLocation: "middle" as const,
	nameGap: 42,
	min: 0,
	max: 1,
	axisLabel: { ...axisStyle.axisLabel, formatter: (value: number) => `${Math.round(100 * value)} %` },
});

/** A whisker from low to high with caps, `shift` pixels beside its place on the axis. */
function whisker(colour: string, shift: (api: Parameters<CustomSeriesRenderItem>[1]) => number): CustomSeriesRenderItem {
	return (_params, api) => {
		const [x, top] = api.coord([api.value(0), api.value(2)]);
		const [, bottom] = api.coord([api.value(0), api.value(1)]);
		const at = x + shift(api);
		const style = { stroke: colour, lineWidth: 1.5, fill: "none" };
		const line = (x1: number, y1: number, x2: number, y2: number) => ({ type: "line" as const, shape: { x1, y1, x2, y2 }, style });
		return {
			type: "group",
			children: [line(at, top, at, bottom), line(at - 3, top, at + 3, top), line(at - 3, bottom, at + 3, bottom)],
		};
	};
}

const whiskers = (
	colour: string,
	data: (number | string)[][],
	shift: (api: Parameters<CustomSeriesRenderItem>[1]) => number = () => 0,
): CustomSeriesOption => ({
	type: "custom",
	data,
	renderItem: whisker(colour, shift),
	silent: true,
	z: 5,
});

const bounds = ({ value, low, high }: Estimate): [number, number] | undefined =>
	value === null || low === null || high === null ? undefined : [low, high];

/** Attack success rate by epsilon: one line for each kind of attack; undefined if nothing was attacked. */
export function successFigure({ attacks }: Summary): string | undefined {
	const linf = attacks.filter(({ options, epsilon }) => options.norm !== "l2" && epsilon < UNBOUNDED);
	const families = attackFamilies(linf);
	if (families.size === 0) return undefined;
	const largest = Math.max(...linf.map(({ epsilon }) => epsilon));
	const series = [...families].flatMap(([family, members], i) => {
		const name = `${family} (static)`;
		const earlier = [...families.values()].slice(0, i).flat();
		const shift = (epsilon: number) => ASIDE * earlier.filter((other) => other.epsilon === epsilon).length;
		const colour = seriesColour(i);
		const spread = members.flatMap(({ epsilon, successRate }) => {
			const range = bounds(successRate);
			return range ? [[epsilon, ...range, shift(epsilon)]] : [];
		});
		const symbols = ["circle", "diamond", "triangle", "rect"];
		return [
			{
				name,
				type: "line" as const,
				data: members.map(({ epsilon, successRate }) => ({ value: [epsilon, successRate.value ?? 0], symbolOffset: [shift(epsilon), 0] })),
				symbol: symbols[i % symbols.length],
				symbolSize: 9,
				lineStyle: { color: colour, width: 2 },
				itemStyle: { color: colour },
			},
			whiskers(colour, spread, (api) => Number(api.value(3))),
		];
	});
	const option: EChartsOption = {
		grid: { left: 64, right: 24, top: 44, bottom: 52 },
		legend: legend([...families.keys()].map((family) => `${family} (static)`)),
		xAxis: {
			...axisStyle,
			type: "value",
			name: "epsilon (largest change of a pixel, pixels in [0, 1])",
			nameLocation: "middle",
			nameGap: 32,
			min: 0,
			...epsilonAxis(largest),
			splitLine: { show: false },
		},
		yAxis: shareAxis("attack success rate"),
		series,
	};
	return render(option, 720, 360);
}

/** An axis from 0 with at most seven ticks, the last one above the largest value. */
function epsilonAxis(largest: number): { max: number; interval: number } {
	const interval = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find((step) => largest / step < 6) ?? 1;
	return { max: Number(((Math.floor(largest / interval + 1e-9) + 1) * interval).toFixed(4)), interval };
}

/** Pixels between points of different families at the same epsilon, so that their intervals do not cover each other. */
const ASIDE = 8;

interface Group {
	name: string;
	bars: Map<string, Panel>;
}

const purifiedBars = (purified: readonly PurifiedSummary[]) => purified.map(({ purifier, panel }): [string, Panel] => [purifier, panel]);

/** P@1 of clean, adversarial and purified images, with intervals, one group for each attack that was defended against. */
export function precisionFigure({ clean, attacks }: Summary): string | undefined {
	if (clean.panel.precisionAt1.value === null) return undefined;
	const defended = attacks.filter(({ purified }) => purified.length > 0);
	const groups: Group[] = [
		...(clean.purified.length > 0
			? [{ name: "clean images", bars: new Map([["clean", clean.panel], ...purifiedBars(clean.purified)]) }]
			: []),
		...(defended.length > 0 ? defended : attacks).map((attack) => ({
			name: `${attackLabel(attack)}`,
			bars: new Map([["clean", clean.panel], ["adversarial", attack.adversarial], ...purifiedBars(attack.purified)]),
		})),
	];
	const names = [...new Set(groups.flatMap(({ bars }) => [...bars.keys()]))].sort((a, b) => order(a) - order(b));
	return render(groupedBars(groups, names), 720, 380);
}

const order = (name: string): number => ["clean", "adversarial"].indexOf(name) + 1 || 99;

/** Grouped bars with whiskers; ECharts places bar i of m at the centre of its share of the group's width. */
function groupedBars(groups: readonly Group[], names: readonly string[]): EChartsOption {
	const share = 0.76;
	const gap = 0.12;
	const series = names.flatMap((name, i) => {
		const colour = name === "clean" ? "var(--clean)" : name === "adversarial" ? "var(--adversarial)" : seriesColour(i - 2);
		const estimates = groups.map(({ bars }) => bars.get(name)?.precisionAt1);
		const spread = estimates.flatMap((estimate, g) => {
			const range = estimate ? bounds(estimate) : undefined;
			return range ? [[g, ...range]] : [];
		});
		const shift = (api: Parameters<CustomSeriesRenderItem>[1]) => {
			const size = api.size?.([1, 0]);
			const group = (Array.isArray(size) ? size[0] : (size ?? 0)) * share;
			const bar = group / (names.length + gap * (names.length - 1));
			return (i - (names.length - 1) / 2) * bar * (1 + gap);
		};
		return [
			{
				name: label(name),
				type: "bar" as const,
				data: estimates.map((estimate) => estimate?.value ?? "-"),
				itemStyle: { color: colour },
				barGap: `${gap * 100}%`,
				barCategoryGap: `${Math.round((1 - share) * 100)}%`,
			},
			whiskers(INK, spread, shift),
		];
	});
	return {
		grid: { left: 64, right: 12, top: 44, bottom: 34 },
		legend: legend(names.map(label)),
		xAxis: {
			...axisStyle,
			type: "category",
			data: groups.map(({ name }) => name),
			axisLabel: { ...axisStyle.axisLabel, color: INK, interval: 0 },
		},
		yAxis: shareAxis("top label is true (P@1)"),
		series,
	};
}

const label = (name: string): string => (name === "clean" || name === "adversarial" ? name : `purified: ${name}`);

/** Text for readers who cannot see the figure. */
export const successText = ({ attacks }: Summary): string =>
	attacks.map((a) => `${attackLabel(a)} at ${epsilonText(a.epsilon)}: ${a.successRate.value?.toFixed(2) ?? "n/a"}`).join("; ");
