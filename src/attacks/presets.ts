/** @file Whose defaults fill the options that are not given, as data. */
import { TOP_K } from "../autodiff/index.ts";
import { BUDGET, type VersionName, versionOptions } from "./autoattack-versions.ts";
import { UNBOUNDED } from "./threat-model.ts";

export const PRESETS = ["paper", "torchattacks", "foolbox", "art", "autoattack"] as const;
export type PresetName = (typeof PRESETS)[number];

type Defaults = Readonly<Record<string, unknown>>;

interface Preset {
	/** Where the values come from. */
	readonly source: string;
	/** Options of every attack. */
	readonly common: Defaults;
	/** Options of every attack that follows a loss. */
	readonly objective: Defaults;
	/** Options by attack, then by norm; an attack or norm that is missing has no default epsilon. */
	readonly attacks: Readonly<Record<string, Readonly<Record<string, Defaults>>>>;
	/** L-infinity epsilons of a sweep, by attack. */
	readonly epsilons: Readonly<Record<string, readonly number[]>>;
}

const untargeted = { target: "none" };
const once = { start: "clean", earlyStop: false };

/** Foolbox gives step sizes relative to epsilon and has no default epsilon; its Linf step is 0.01 / 0.3 of epsilon. */
const FOOLBOX_LINF_STEP = 0.01 / 0.3;
const FOOLBOX_L2_STEP = 0.025;

/** Carlini's own search; Foolbox's as well. */
const carlini = {
	epsilon: UNBOUNDED,
	kappa: 0,
	c: 1e-3,
	searchSteps: 9,
	learningRate: 0.01,
	accept: "kappa",
	stop: "stalled",
	saturated: "move",
};

/** DeepFool as its authors wrote it; Foolbox's as well. */
const deepfool = { epsilon: UNBOUNDED, steps: 50, candidates: 10, overshoot: 0.02, overshootOf: "sum", nudge: 1e-4 };

/** The libraries know one true label; of several, an attack that ends at the boundary has to beat them all to make the top label wrong. */
const anyTrue = { labels: "all-true" };

/** AutoAttack and its parts with their authors' numbers; they name no epsilon, these are RobustBench's for ImageNet (L-infinity) and CIFAR-10 (L2). */
const croce = (() => {
	const { steps, queries, targetClasses } = BUDGET;
	const everywhere = (options: Defaults) => ({ linf: { ...options, epsilon: 4 / 255 }, l2: { ...options, epsilon: 0.5 } });
	return {
		apgd: everywhere({ steps, restarts: 1, targetClasses, earlyStop: false }),
		fab: everywhere({ steps, restarts: 1, targetClasses, alphaMax: 0.1, eta: 1.05, beta: 0.9, earlyStop: false }),
		square: everywhere({ queries, restarts: 1, pInit: 0.8, rescaleSchedule: false }),
		autoattack: everywhere({ ...BUDGET, version: "standard", restarts: 1, earlyStop: true }),
	};
})();

/** MI-, DI- and TI-FGSM: momentum 1 belongs to the first; torchattacks' TI-FGSM sees diverse inputs as well, the published one does not. */
const transferred = (base: Defaults, { tiDiversity }: { tiDiversity: number }) => {
	const diverse = { decay: 0, diversity: 0.5, resizeRate: 0.9 };
	return {
		"mi-fgsm": { linf: { ...base, start: "clean", decay: 1 } },
		"di-fgsm": { linf: { ...base, start: "clean", ...diverse } },
		"ti-fgsm": { linf: { ...base, start: "clean", ...diverse, diversity: tiDiversity, kernel: 15, kernelReach: 3 } },
	};
};

export const presets: Readonly<Record<PresetName, Preset>> = {
	paper: {
		source:
			"the paper: FGSM 0.05 to 0.2, PGD 40 x 0.01; its PGD epsilon is not given (0.1 here); success = the top label changed; MI-, DI- and TI-FGSM: 16/255 in 10 steps, as Dong et al. (CVPR 2018); CW: kappa 10, 1000 iterations, squared L2, the rest as Carlini; DeepFool, AutoAttack and its parts as their authors",
		common: { ...untargeted, criterion: "label-changed" },
		objective: { loss: "cross-entropy", labels: "predicted" },
		attacks: {
			fgsm: { linf: { epsilon: 0.05 } },
			noise: { linf: { epsilon: 0.05 } },
			pgd: { linf: { ...once, start: "uniform", epsilon: 0.1, stepSize: 0.01, steps: 40 }, l2: { ...once, steps: 40 } },
			cw: { l2: { ...carlini, kappa: 10, steps: 1000 } },
			deepfool: { l2: deepfool, linf: deepfool },
			...croce,
			...transferred({ epsilon: 16 / 255, relativeStepSize: 0.1, steps: 10 }, { tiDiversity: 0 }),
		},
		epsilons: { fgsm: [0.05, 0.1, 0.15, 0.2], noise: [0.05, 0.1, 0.15, 0.2] },
	},
	torchattacks: {
		source: "torchattacks 3.5.1: FGSM, PGD, PGDL2, CW, DeepFool, MIFGSM, DIFGSM, TIFGSM",
		common: { ...untargeted, criterion: "top-label-wrong" },
		objective: { loss: "cross-entropy", labels: "best-true" },
		attacks: {
			fgsm: { linf: { epsilon: 8 / 255 } },
			noise: { linf: { epsilon: 8 / 255 } },
			pgd: {
				linf: { ...once, start: "uniform", epsilon: 8 / 255, stepSize: 2 / 255, steps: 10 },
				l2: { ...once, start: "radial", epsilon: 1, stepSize: 0.2, steps: 10 },
			},
			cw: {
				l2: { ...carlini, ...anyTrue, c: 1, searchSteps: 1, steps: 50, accept: "criterion", stop: "risen", saturated: "stay" },
			},
			deepfool: { l2: { ...deepfool, ...anyTrue, candidates: "all", overshootOf: "step", nudge: 0 } },
			...transferred({ epsilon: 8 / 255, stepSize: 2 / 255, steps: 10 }, { tiDiversity: 0.5 }),
		},
		epsilons: {},
	},
	foolbox: {
		source:
			"Foolbox 3.3.4: LinfFastGradientAttack, L2FastGradientAttack, LinfPGD, L2PGD, L2CarliniWagnerAttack, L2DeepFoolAttack, LinfDeepFoolAttack",
		common: { ...untargeted, criterion: "top-label-wrong" },
		objective: { loss: "cross-entropy", labels: "best-true" },
		attacks: {
			fgsm: { linf: {} },
			noise: { linf: {} },
			pgd: {
				linf: { ...once, start: "uniform", relativeStepSize: FOOLBOX_LINF_STEP, steps: 40 },
				l2: { ...once, start: "uniform", relativeStepSize: FOOLBOX_L2_STEP, steps: 50 },
			},
			cw: { l2: { ...carlini, ...anyTrue, steps: 10_000 } },
			deepfool: { l2: { ...deepfool, ...anyTrue }, linf: { ...deepfool, ...anyTrue } },
		},
		epsilons: {},
	},
	art: {
		source:
			"Adversarial Robustness Toolbox 1.20.1: FastGradientMethod, ProjectedGradientDescent, DeepFool, with the model's own labels as there; its CarliniL2Method is another optimiser (line searches, 10 iterations) and has no preset",
		common: { ...untargeted, criterion: "label-changed" },
		objective: { loss: "cross-entropy", labels: "predicted" },
		attacks: {
			fgsm: { linf: { epsilon: 0.3 }, l2: { epsilon: 0.3 } },
			pgd: {
				linf: { ...once, epsilon: 0.3, stepSize: 0.1, steps: 100 },
				l2: { ...once, clipFirst: true, epsilon: 0.3, stepSize: 0.1, steps: 100 },
			},
			deepfool: { l2: { ...deepfool, steps: 100, overshoot: 1e-6, overshootOf: "result", nudge: 0 } },
		},
		epsilons: {},
	},
	autoattack: {
		source:
			"AutoAttack (fra31/auto-attack, a392200): APGD, APGD-T, FAB, FAB-T, Square; several true labels count as one, whose logit is their largest",
		common: { ...untargeted, criterion: "top-label-wrong" },
		objective: { loss: "set-cross-entropy", labels: "all-true" },
		attacks: croce,
		epsilons: {},
	},
};

/** What an attack asks of `objective` if it is not all of it. */
const ASKS: Readonly<Record<string, readonly string[]>> = {
	noise: [],
	cw: ["labels"],
	deepfool: ["labels"],
	fab: ["labels"],
	square: ["labels"],
	autoattack: ["labels"],
};

/** Norms of attacks that have another one than L-infinity by default. */
const DEFAULT_NORMS: Readonly<Record<string, string>> = { cw: "l2", deepfool: "l2" };

/**
 * The options of an attack with the preset's defaults where nothing is given. A targeted attack succeeds by default when
 * its target is reached; a step size relative to epsilon is made absolute.
 */
export function withDefaults(given: Defaults & { name: string }): Defaults {
	const { preset = "paper", norm = DEFAULT_NORMS[given.name] ?? "linf" } = given as { preset?: PresetName; norm?: string };
	const { common, objective, attacks } = presets[preset];
	const targeted = given.target !== undefined && given.target !== "none";
	const { relativeStepSize, ...merged } = {
		preset,
		norm,
		...common,
		...Object.fromEntries(Object.entries(objective).filter(([key]) => ASKS[given.name]?.includes(key) ?? true)),
		...(targeted ? { criterion: "target-reached" } : {}),
		...(given.loss === "ranking" ? { labels: "all-true", criterion: "top-k-lost" } : {}),
		...attacks[given.name]?.[norm],
		...(given.name === "autoattack" ? versionOptions((given.version as VersionName | undefined) ?? "standard") : {}),
		...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
	} as Defaults & { relativeStepSize?: number; epsilon?: number; stepSize?: number; k?: number };
	if (merged.k === undefined && (merged.loss === "ranking" || merged.criterion === "top-k-lost")) merged.k = TOP_K;
	if (relativeStepSize === undefined || merged.stepSize !== undefined || merged.epsilon === undefined) return merged;
	return { ...merged, stepSize: relativeStepSize * merged.epsilon };
}
