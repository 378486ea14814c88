/** @file Numbers and names as they are printed. */
import type { AttackSummary } from "../experiments/summary.ts";
import type { Estimate } from "../metrics/intervals.ts";

export const percent = (value: number | null, digits = 0): string => (value === null ? "n/a" : `${(100 * value).toFixed(digits)}\u00a0%`);

/** "0.81 [0.73, 0.88]"; "n/a" where it cannot be computed. */
export function interval({ value, low, high }: Estimate, digits = 2): string {
	if (value === null) return "n/a";
	if (low === null || high === null) return value.toFixed(digits);
	return `${value.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}

/** Interval with its n: every number carries both. */
export const withN = (estimate: Estimate, digits = 2): string => `${interval(estimate, digits)}, n = ${estimate.n}`;

/** Every result of an attack carries its threat model: "fgsm-0.05 (static)". */
export const attackLabel = ({ attack, threat }: Pick<AttackSummary, "attack" | "threat">): string => `${attack} (${threat})`;

/** Attacks by family, each sorted by epsilon; attacks without a result are left out. */
export function attackFamilies(attacks: readonly AttackSummary[]): Map<string, AttackSummary[]> {
	const families = new Map<string, AttackSummary[]>();
	for (const attack of attacks) {
		if (attack.successRate.value === null) continue;
		families.set(attack.family, [...(families.get(attack.family) ?? []), attack]);
	}
	for (const members of families.values()) members.sort((a, b) => a.epsilon - b.epsilon);
	return families;
}

/** 3.25 -> "3.3 s", 125 -> "2 min 5 s". */
export function duration(seconds: number): string {
	if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
	if (seconds < 59.95) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
	const whole = Math.round(seconds);
	if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
	return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export const escapeHtml = (text: string): string =>
	text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c] ?? c);
