/** @file How far a run is, and how long it will still take. */

export interface Progress {
	/** What is being done, e.g. "attack fgsm-0.05". */
	stage: string;
	/** Units of work, with fractions. */
	done: number;
	total: number;
	/** Undefined until something was computed. */
	secondsLeft: number | undefined;
}

export interface ProgressMeter {
	/** Begins a unit of the given kind. */
	start(stage: string): void;
	/** Reports the share of the current unit that is done, in [0, 1]. */
	within(share: number): void;
	/** Ends the current unit; units read from the store do not count as measurements. */
	finish(options: { computed: boolean }): void;
}

/**
 * Measures kinds of units separately: the time left is the sum over the units left of the mean time of their kind, or of
 * all kinds where a kind was not yet seen.
 */
export function progressMeter(
	units: readonly string[],
	{
		onProgress,
		now = performance.now.bind(performance),
	}: { onProgress?: ((progress: Progress) => void) | undefined; now?: () => number } = {},
): ProgressMeter {
	const left = new Map<string, number>();
	for (const unit of units) left.set(unit, (left.get(unit) ?? 0) + 1);
	const measured = new Map<string, { seconds: number; count: number }>();
	const total = units.length;
	let done = 0;
	let stage = "";
	let started = now();

	const mean = (kind: string): number | undefined => {
		const one = measured.get(kind);
		if (one) return one.seconds / one.count;
		const all = [...measured.values()].reduce((sum, m) => ({ seconds: sum.seconds + m.seconds, count: sum.count + m.count }), {
			seconds: 0,
			count: 0,
		});
		return all.count > 0 ? all.seconds / all.count : undefined;
	};
	const secondsLeft = (share: number): number | undefined => {
		let sum = 0;
		for (const [kind, count] of left) {
			if (count === 0) continue;
			const seconds = mean(kind);
			if (seconds === undefined) return undefined;
			sum += seconds * (kind === stage ? Math.max(0, count - share) : count);
		}
		return sum;
	};
	const report = (share: number) => onProgress?.({ stage, done: done + share, total, secondsLeft: secondsLeft(share) });

	return {
		start(kind) {
			stage = kind;
			started = now();
			report(0);
		},
		within: report,
		finish({ computed }) {
			if (computed) {
				const { seconds, count } = measured.get(stage) ?? { seconds: 0, count: 0 };
				measured.set(stage, { seconds: seconds + (now() - started) / 1000, count: count + 1 });
			}
			left.set(stage, Math.max(0, (left.get(stage) ?? 0) - 1));
			done++;
			report(0);
		},
	};
}
