/** @file What a run measured, and what it does not show, in plain sentences. */

import { epsilonText } from "../experiments/schema.ts";
import type { AttackSummary, PurifiedSummary, Summary } from "../experiments/summary.ts";
import type { Estimate } from "../metrics/intervals.ts";
import { attackFamilies, attackLabel, percent } from "./format.ts";

const whole = (value: number): string => `${Math.round(100 * value)}`.replace("-", "\u2212");
const range = ({ low, high }: Estimate): string => (low === null || high === null ? "" : ` (${whole(low)} to ${whole(high)}\u00a0%)`);
const share = (estimate: Estimate): string => `${percent(estimate.value)}${range(estimate)}`;

const list = (parts: readonly string[]): string =>
	parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;

const effect = ({ purifier, panel, recovered }: PurifiedSummary): string => {
	const part = recovered?.value ?? null;
	const back =
		part === null || !recovered ? "" : part > 0 ? `, ${percent(part)} of what was lost${range(recovered)}` : ", no better than without it";
	return `${purifier} brought it to ${share(panel.precisionAt1)}${back}`;
};

/** One clause for each kind of attack, over its epsilons. */
function families(attacks: readonly AttackSummary[]): string[] {
	return [...attackFamilies(attacks)].map(([name, members]) => {
		const each = members.map(({ epsilon, successRate }) => `${percent(successRate.value)} at epsilon ${epsilonText(epsilon)}`);
		return `${name} ${each.length > 2 ? `from ${each[0]} to ${each.at(-1)}` : list(each)}`;
	});
}

/** Sentences about success, loss, repair and cost; ranges are 95 % intervals. */
export function headline({ experiment, clean, attacks }: Summary): string[] {
	const sentences = attacks.length === 0 ? ["Nothing was attacked."] : [];
	const rates = families(attacks);
	if (rates.length > 0)
		sentences.push(`On ${experiment.images - experiment.failed} images the static attacks succeeded thus: ${rates.join("; ")}.`);
	for (const attack of attacks.filter(({ purified, adversarial }) => purified.length > 0 && adversarial.precisionAt1.value !== null)) {
		sentences.push(
			`Under ${attackLabel(attack)} the share of images whose top label is true went from ${share(clean.panel.precisionAt1)} to ${share(attack.adversarial.precisionAt1)}; ${attack.purified.map(effect).join("; ")}.`,
		);
	}
	if (clean.purified.length > 0 && clean.panel.precisionAt1.value !== null) {
		const costs = clean.purified.map(({ purifier, panel }) => `${purifier} ${share(panel.precisionAt1)}`);
		sentences.push(`On images that nobody attacked, where it is ${share(clean.panel.precisionAt1)} without a defence: ${list(costs)}.`);
	}
	return sentences;
}

/** What a reader must not conclude. */
export function caveats({ experiment, made, attacks }: Summary): string[] {
	const out: string[] = [];
	if (attacks.length > 0) {
		out.push(
			"Every attack here is static: it was computed on the classifier alone, by an attacker who did not know the purifier. An adaptive attack, aimed at classifier and purifier together, is stronger. These numbers say nothing about one.",
		);
	}
	if (made.detector) {
		out.push(
			"A purifier that paints with the detector's labels as prompts may win by those labels and not by removing the attack. Compare it with the same purifier under an empty and a shuffled prompt before crediting the repair.",
		);
	}
	if (/^mini-/.test(made.classifier.name)) {
		out.push(
			"This is a miniature: a small world of drawn scenes and small models, made to run anywhere. It shows how the method behaves, not how well it works on photographs.",
		);
	}
	if (attacks.some(({ criterion }) => criterion === "label-changed")) {
		out.push(
			"An attack counts as successful here as soon as the top label is another one, even if that one is true too. What the attack did to the truth is P@1.",
		);
	}
	out.push(
		`Intervals are 95 % bootstrap intervals (Wilson's where a share is 0 or 1) over ${experiment.images - experiment.failed} images. They carry the chance of which images were drawn, not the choice of models, options or seed.`,
	);
	return out;
}
