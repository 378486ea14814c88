/** @file AutoAttack beside the reference results of its authors' code: `npm run parity:autoattack` prints the table (minutes). */
import { createPart } from "../src/attacks/autoattack.ts";
import type { PartName } from "../src/attacks/autoattack-versions.ts";
import { createAttack } from "../src/attacks/schema.ts";
import { openTinyCnn, robustFraction, robustInOriginal } from "../test/support/autoattack.ts";

const IMAGES = 200;
const EPSILONS = [0.01, 0.02, 0.03, 0.04];
const PARTS: readonly PartName[] = ["apgd-ce", "apgd-t", "fab-t", "square"];

const classifier = await openTinyCnn(10);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

async function compare(name: string, attack: ReturnType<typeof createAttack>, expected: number): Promise<void> {
	const start = performance.now();
	const found = await robustFraction(attack, classifier, IMAGES);
	const seconds = ((performance.now() - start) / 1000).toFixed(0);
	console.log(`| ${name} | ${attack.options.epsilon} | ${percent(expected)} | ${percent(found)} | ${seconds} s |`);
}

console.log(`robust share of ${IMAGES} images`);
console.log("| attack | epsilon | original | here | time |\n|---|---|---|---|---|");
const few = createAttack({ name: "square", preset: "autoattack", queries: 1000, epsilon: 0.03 });
await compare("square, 1000 queries", few, robustInOriginal("square_1000_robust_by_seed"));
for (const epsilon of EPSILONS) {
	const sequence = createAttack({ name: "autoattack", preset: "autoattack", epsilon });
	await compare("AutoAttack", sequence, robustInOriginal(`autoattack_standard_eps${epsilon}`));
	for (const name of PARTS) {
		const part = createPart(name, sequence.options as Parameters<typeof createPart>[1]);
		await compare(name, part, robustInOriginal(`${name}_alone_eps${epsilon}`));
	}
}
await classifier.close();
