/** @file AutoAttack beside the reference results of its authors' code: `npm run parity:autoattack [-- EPSILON...]` prints the table (minutes). */
import { createPart } from "../src/attacks/autoattack.ts";
import type { PartName } from "../src/attacks/autoattack-versions.ts";
import { createAttack } from "../src/attacks/schema.ts";
import { openTinyCnn, robustFraction, robustInOriginal } from "../test/support/autoattack.ts";

const IMAGES = 200;
const GIVEN = process.argv.slice(2).map(Number);
const EPSILONS = [0.01, 0.02, 0.03, 0.04].filter((epsilon) => GIVEN.length === 0 || GIVEN.includes(epsilon));
/** Square is random: it stands for the mean of so many seeds. */
const SEEDS = 5;
const PARTS: readonly PartName[] = ["apgd-ce", "apgd-t", "fab-t", "square"];

const classifier = await openTinyCnn(10);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

async function compare(name: string, attack: ReturnType<typeof createAttack>, expected: number): Promise<void> {
	const start = performance.now();
	const seeds = name.startsWith("square") ? SEEDS : 1;
	const shares: number[] = [];
	for (let seed = 0; seed < seeds; seed++) shares.push(await robustFraction(attack, classifier, IMAGES, seed));
	const found = shares.reduce((sum, share) => sum + share / seeds, 0);
	const seconds = ((performance.now() - start) / 1000).toFixed(0);
	console.log(
		`| ${name} | ${attack.options.epsilon} | ${percent(expected)} | ${percent(found)}${seeds > 1 ? ` (${shares.map(percent).join(", ")})` : ""} | ${seconds} s |`,
	);
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
