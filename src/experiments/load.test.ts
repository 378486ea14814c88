import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { editDistance, nearest } from "./complaint.ts";
import { loadExperiment, parseExperiment } from "./load.ts";

const HEAD = `name: x
data: { images: pictures, canvas: { size: 8 } }
classifier: { kind: clip, model: mini-clip }
`;

const parse = (text: string) => parseExperiment(HEAD + text, { file: "/some/where/x.yaml" });

function complaint(text: string, head = HEAD): string {
	try {
		parseExperiment(head + text, { file: "/some/where/x.yaml" });
	} catch (error) {
		if (!(error instanceof KintsugiError)) throw error;
		expect(error.code).toBe("config");
		expect(error.message).not.toContain("\n");
		return error.message;
	}
	throw new Error("no complaint");
}

describe("experiment files", () => {
	it("are filled with defaults, and sweeps become attacks with names of their own", () => {
		const { seed, attacks, purifiers, base, evaluation } = parse(`attacks:
  - { name: fgsm, epsilon: [0.05, 8/255] }
  - { name: pgd, target: random, as: wanted }
  - { name: fgsm, epsilon: [0.1, 0.2], as: strong }
purifiers:
  - { name: jpeg }
  - { name: blur, as: soft, purify: [clean, wanted], regions: { prompt: empty } }
  - { name: none }
regions: { threshold: 0.3 }
`);
		expect([seed, base, evaluation.chunk]).toEqual([0, "/some/where", 8]);
		expect(attacks.map((a) => [a.name, a.spec.epsilon])).toEqual([
			["fgsm-0.05", 0.05],
			["fgsm-8/255", 8 / 255],
			["wanted", 0.1],
			["strong-0.1", 0.1],
			["strong-0.2", 0.2],
		]);
		expect(purifiers.map((p) => [p.name, p.purify.length, p.regions.prompt, p.regions.threshold])).toEqual([
			["jpeg", 6, "label", 0.3],
			["soft", 2, "empty", 0.3],
		]);
	});

	const faults: [string, string, ...string[]][] = [
		[
			"an unknown key at the top",
			"atacks: []\n",
			"x.yaml:4: atacks",
			"one of the keys name, seed, data",
			'unknown key "atacks"',
			'write "attacks" instead',
		],
		[
			"an unknown key of an attack",
			"attacks:\n  - { name: fgsm }\n  - name: pgd\n    stepsize: 1\n",
			"x.yaml:7: attacks[1].stepsize",
			"stepSize",
			"stepsize",
			'write "stepSize" instead',
		],
		[
			"an unknown key that is like nothing",
			"attacks: [{ name: fgsm, zzz: 1 }]\n",
			"attacks[0].zzz",
			"as, name, preset",
			'"zzz"',
			"remove it",
		],
		[
			"an unknown key of a purifier",
			"purifiers: [{ name: naive, strenght: 1 }]\n",
			"purifiers[0].strenght",
			"steps",
			"strenght",
			'write "strength" instead',
		],
		[
			"an unknown key deep inside",
			"purifiers: [{ name: jpeg, regions: { treshold: 1 } }]\n",
			"purifiers[0].regions.treshold",
			"maxRegions",
			"treshold",
			'"threshold" instead',
		],
		["an unknown key of the data", "", "data.pictures", "coco, images", "pictures", "remove it"],
		["an attack that does not exist", "attacks: [{ name: fsgm }]\n", "attacks[0].name", "fgsm, pgd", '"fsgm"', 'write "fgsm" instead'],
		["a missing option", "attacks: [{ name: pgd, norm: l2 }]\n", "attacks[0]", "no default for it"],
		[
			"a value of another kind",
			"attacks: [{ name: fgsm, epsilon: much }]\n",
			"attacks[0].epsilon",
			'number or a fraction such as "8/255" or array',
			'"much"',
		],
		["a choice that does not exist", "purifiers: [{ name: ddpm, sampler: dpm }]\n", "purifiers[0].sampler", "ddpm, ddim", '"dpm"'],
		["a number out of range", "seed: -1\n", "seed", ">=0", "-1"],
		[
			"an attack to purify that does not exist",
			"attacks: [{ name: fgsm, epsilon: 0.1 }]\npurifiers: [{ name: jpeg, purify: [fgsm-0.01] }]\n",
			"purifiers[0].purify",
			"clean, fgsm-0.1",
			"fgsm-0.01",
			'write "fgsm-0.1"',
		],
		["a name twice", "attacks: [{ name: fgsm, epsilon: 0.1 }, { name: fgsm, epsilon: 0.1 }]\n", "attacks[1]", "fgsm-0.1", "`as`"],
		["a reserved name", "attacks: [{ name: fgsm, epsilon: 0.1, as: clean }]\n", "attacks[0]", "clean and none"],
		["no YAML", "attacks: [\n", "x.yaml:", "YAML"],
	];
	it.each(faults)("name the fault in one line: %s", (name, text, ...parts) => {
		const head = name.endsWith("of the data") ? HEAD.replace("images: pictures", "pictures: a") : HEAD;
		const message = complaint(text, head);
		for (const part of parts) expect(message).toContain(part);
	});

	it("name what is missing", () => {
		expect(complaint("name: x\n", "")).toContain("x.yaml:1: data: expected object, found nothing; add it");
		expect(complaint("", HEAD.replace("{ size: 8 }", "{ height: 8 }"))).toContain("either size, or height and width");
		expect(complaint("", "")).toContain("found nothing; add it");
		expect(complaint("5", "")).toContain("expected object");
	});

	it("say so if the file is not there", async () => {
		await expect(loadExperiment("/no/such.yaml")).rejects.toThrow(/no file of that name/);
	});

	const shipped = readdirSync(join(import.meta.dirname, "../../experiments")).filter((file) => file.endsWith(".yaml"));
	it.each(shipped)("that are shipped are valid: %s", async (file) => {
		const experiment = await loadExperiment(join(import.meta.dirname, "../../experiments", file));
		expect(`${experiment.name}.yaml`).toBe(file);
		expect(experiment.attacks.length).toBeGreaterThan(0);
	});
});

describe("nearest key", () => {
	it("counts edits", () => {
		expect([editDistance("kitten", "sitting"), editDistance("", "ab"), editDistance("same", "same"), editDistance("fsgm", "fgsm")]).toEqual(
			[3, 2, 0, 1],
		);
	});
	it("forgives case and hyphens, and finds nothing where nothing is near", () => {
		expect(nearest("step_size", ["steps", "stepSize"])).toBe("stepSize");
		expect(nearest("zzz", ["steps", "stepSize"])).toBeUndefined();
	});
});
