import { expect, it } from "vitest";
import { type Progress, progressMeter } from "./progress.ts";

it("adds up what each kind of unit still takes, and does not learn from what was read from the store", () => {
	let clock = 0;
	const seen: Progress[] = [];
	const meter = progressMeter(["fast", "slow", "fast", "slow"], { onProgress: (p) => seen.push(p), now: () => clock });
	const last = () => seen[seen.length - 1];
	const work = (kind: string, seconds: number, computed = true) => {
		meter.start(kind);
		clock += 1000 * seconds;
		meter.finish({ computed });
	};
	meter.start("fast");
	expect(last()).toMatchObject({ stage: "fast", done: 0, total: 4, secondsLeft: undefined });
	meter.finish({ computed: false });
	expect(last()).toMatchObject({ done: 1, secondsLeft: undefined });
	work("slow", 10);
	expect(last()).toMatchObject({ done: 2, secondsLeft: 20 });
	work("fast", 1);
	expect(last()).toMatchObject({ done: 3, secondsLeft: 10 });
	meter.start("slow");
	meter.within(0.25);
	expect(last()).toMatchObject({ done: 3.25, secondsLeft: 7.5 });
	meter.finish({ computed: true });
	expect(last()).toMatchObject({ done: 4, secondsLeft: 0 });
});
