/** @file The parts of AutoAttack and the versions that its authors published. */
export const PARTS = ["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"] as const;
export type PartName = (typeof PARTS)[number];

interface Version {
	readonly attacks: readonly PartName[];
	/** Runs of apgd-ce, apgd-dlr and fab. */
	readonly restarts: number;
	/** Gradients averaged in each step. */
	readonly eot?: number;
}

export const VERSIONS: Readonly<Record<"standard" | "plus" | "rand", Version>> = {
	standard: { attacks: ["apgd-ce", "apgd-t", "fab-t", "square"], restarts: 1 },
	plus: { attacks: ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"], restarts: 5 },
	rand: { attacks: ["apgd-ce", "apgd-dlr"], restarts: 1, eot: 20 },
};

/** What all versions have in common. */
export const BUDGET = { steps: 100, queries: 5000, targetClasses: 9 } as const;

export const VERSION_NAMES = ["standard", "plus", "rand", "custom"] as const;
export type VersionName = (typeof VERSION_NAMES)[number];

/** Options that a version stands for; of `custom` none. */
export const versionOptions = (version: VersionName): Partial<Version> => (version === "custom" ? {} : VERSIONS[version]);

/** The first option that is not what its version says; undefined if the options deserve their version's name. */
export function strayOption(options: Version & Record<keyof typeof BUDGET, number> & { version: VersionName }): string | undefined {
	if (options.version === "custom") return undefined;
	const fixed = { eot: undefined, ...BUDGET, ...VERSIONS[options.version] };
	return (Object.keys(fixed) as (keyof typeof fixed)[]).find((key) => JSON.stringify(fixed[key]) !== JSON.stringify(options[key]));
}
