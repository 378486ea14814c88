/** @file Whose defaults fill the options that are not given, as data. */

export const PRESETS = ["paper", "torchattacks", "foolbox"] as const;
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
			"the paper: FGSM 0.05 to 0.2, PGD 40 x 0.01; its PGD epsilon is not given (0.1 here); success = the top label changed; MI-, DI- and TI-FGSM: 16/255 in 10 steps, as Dong et al. (CVPR 2018)",
		common: { ...untargeted, criterion: "label-changed" },
		objective: { loss: "cross-entropy", labels: "predicted" },
		attacks: {
			fgsm: { linf: { epsilon: 0.05 } },
			noise: { linf: { epsilon: 0.05 } },
			pgd: { linf: { ...once, start: "uniform", epsilon: 0.1, stepSize: 0.01, steps: 40 }, l2: { ...once, steps: 40 } },
			...transferred({ epsilon: 16 / 255, relativeStepSize: 0.1, steps: 10 }, { tiDiversity: 0 }),
		},
		epsilons: { fgsm: [0.05, 0.1, 0.15, 0.2], noise: [0.05, 0.1, 0.15, 0.2] },
	},
	torchattacks: {
		source: "torchattacks 3.5.1: FGSM, PGD, PGDL2, MIFGSM, DIFGSM, TIFGSM",
		common: { ...untargeted, criterion: "top-label-wrong" },
		objective: { loss: "cross-entropy", labels: "best-true" },
		attacks: {
			fgsm: { linf: { epsilon: 8 / 255 } },
			noise: { linf: { epsilon: 8 / 255 } },
			pgd: {
				linf: { ...once, start: "uniform", epsilon: 8 / 255, stepSize: 2 / 255, steps: 10 },
				l2: { ...once, start: "radial", epsilon: 1, stepSize: 0.2, steps: 10 },
			},
			...transferred({ epsilon: 8 / 255, stepSize: 2 / 255, steps: 10 }, { tiDiversity: 0.5 }),
		},
		epsilons: {},
	},
	foolbox: {
		source: "Foolbox 3.3.4: LinfFastGradientAttack, L2FastGradientAttack, LinfPGD, L2PGD",
		common: { ...untargeted, criterion: "top-label-wrong" },
		objective: { loss: "cross-entropy", labels: "best-true" },
		attacks: {
			fgsm: { linf: {} },
			noise: { linf: {} },
			pgd: {
				linf: { ...once, start: "uniform", relativeStepSize: FOOLBOX_LINF_STEP, steps: 40 },
				l2: { ...once, start: "uniform", relativeStepSize: FOOLBOX_L2_STEP, steps: 50 },
			},
		},
		epsilons: {},
	},
};

/** Attacks that look at no loss. */
const WITHOUT_LOSS: ReadonlySet<string> = new Set(["noise"]);

/**
 * The options of an attack with the preset's defaults where nothing is given. A targeted attack succeeds by default when
 * its target is reached; a step size relative to epsilon is made absolute.
 */
export function withDefaults(given: Defaults & { name: string }): Defaults {
	const { preset = "paper", norm = "linf" } = given as { preset?: PresetName; norm?: string };
	const { common, objective, attacks } = presets[preset];
	const targeted = given.target !== undefined && given.target !== "none";
	const { relativeStepSize, ...merged } = {
		preset,
		norm,
		...common,
		...(WITHOUT_LOSS.has(given.name) ? {} : objective),
		...(targeted ? { criterion: "target-reached" } : {}),
		...attacks[given.name]?.[norm],
		...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
	} as Defaults & { relativeStepSize?: number; epsilon?: number; stepSize?: number };
	if (relativeStepSize === undefined || merged.stepSize !== undefined || merged.epsilon === undefined) return merged;
	return { ...merged, stepSize: relativeStepSize * merged.epsilon };
}
