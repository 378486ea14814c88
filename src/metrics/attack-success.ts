/** @file Attack success rate in its published variants: which images count, and what success is. */
import { argmax, type CriterionName, criteria, type Judgement, topLabels } from "../attacks/criteria.ts";
import { TOP_K } from "../autodiff/index.ts";
import { meanOf, type Statistic } from "./statistic.ts";

/** Whether an image can tell anything about a criterion. */
const trueLabelFound = ({ clean, truth, thresholds }: Judgement) => truth.some((t, k) => t > 0 && clean[k] > thresholds[k]);

const COUNTED: Record<CriterionName, (judgement: Judgement) => boolean> = {
	"label-changed": () => true,
	// An image that was wrong from the start is no success of the attack.
	"top-label-wrong": ({ clean, truth }) => truth[argmax(clean)] > 0,
	"any-true-label-lost": trueLabelFound,
	"all-true-labels-lost": trueLabelFound,
	"top-k-lost": ({ clean, truth, k = TOP_K }) => topLabels(clean, k).some((i) => truth[i] > 0),
	"set-changed": () => true,
	"target-reached": ({ target }) => target !== undefined,
	"target-set-reached": ({ target }) => target !== undefined,
};

/**
 * Share of attacked images that meet the criterion.
 * `label-changed` (the paper's) and `set-changed` count all images; `top-label-wrong` those whose clean top label is true;
 * `any-true-label-lost` and `all-true-labels-lost` those in which a true label was found before; `top-k-lost` those in which one was
 * among the k top labels before; `target-reached` and `target-set-reached` those with a target.
 */
export const attackSuccessRate = (criterion: CriterionName, judgements: readonly Judgement[]): Statistic =>
	meanOf(judgements.map((j) => (COUNTED[criterion](j) ? Number(criteria[criterion](j)) : Number.NaN)));
