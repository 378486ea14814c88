import { expect, it } from "vitest";
import { experimentKeys } from "../src/experiments/schema.ts";
import { type JsonSchema, optionsTable } from "./support/options-table.ts";

const { properties } = experimentKeys() as { properties: Record<string, JsonSchema> };

/** Options of every entry of a list, then those of each kind of entry. */
function listed(key: string): string {
	const [own, variants] = properties[key].items?.allOf ?? [];
	return `For each:\n\n${optionsTable(own)}\n\n${optionsTable(variants)}`;
}

const TRANSFER =
	"A list of other classifiers, for `kintsugi transfer`: each of them is attacked and measured, as `classifier` is. The options are those of `classifier`, and:";

const section = (title: string, text: string) => `## ${title}\n\n${text}`;

it("docs/options.md says what the schema says; after a change: npx vitest run test/options-doc.test.ts -u", async () => {
	const { name, seed } = properties;
	const text = [
		"# Options of an experiment file",
		"`kintsugi run EXPERIMENT.yaml` reads these. An unknown key is an error. This page is written by `test/options-doc.test.ts` from the schema itself.",
		section("`name`, `seed`", optionsTable({ properties: { name, seed }, required: ["name"] })),
		section("`data`", optionsTable(properties.data, "data.")),
		section("`classifier`", optionsTable(properties.classifier, "classifier.")),
		section("`detector`", optionsTable(properties.detector, "detector.")),
		section("`regions`", optionsTable(properties.regions, "regions.")),
		section("`attacks`", `A list. Options that are not given come from \`preset\` (\`paper\` if it is not given).\n\n${listed("attacks")}`),
		section("`purifiers`", `A list. "No defence" is always measured.\n\n${listed("purifiers")}`),
		section("`transfer`", `${TRANSFER}\n\n${optionsTable(properties.transfer.items?.allOf?.[0] ?? {})}`),
		section("`evaluation`", optionsTable(properties.evaluation, "evaluation.")),
	].join("\n\n");
	expect(text).toContain("`data.canvas.policy`");
	await expect(`${text}\n`).toMatchFileSnapshot("../docs/options.md");
});
