/** @file Gradients of whole architectures against torch.autograd (fixtures: test/golden/autodiff*.py). */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exportsOf, fixtureNames, measureParity, measureYolox, readFixture, YOLOX } from "../../test/support/parity.ts";

const cases = fixtureNames().flatMap((name) => exportsOf(name).map((made) => ({ name, ...made })));

describe("gradients agree with torch.autograd", () => {
	it.for(cases)("$name, exported by $exporter", async ({ name, exporter, file }, { skip }) => {
		const fixture = readFixture(name);
		if (!file) {
			expect(fixture.reasons[exporter], `a file of ${exporter}, or the reason why there is none`).toMatch(/./);
			skip(fixture.reasons[exporter]);
			return;
		}
		const { outputs, gradient } = await measureParity(file, fixture);
		for (const [output, { relative }] of Object.entries(outputs)) expect(relative, output).toBeLessThan(1e-4);
		expect(gradient.relative).toBeLessThan(1e-4);
		expect(gradient.cosine).toBeGreaterThan(0.99999);
	});
});

describe("a real network", () => {
	it.skipIf(!existsSync(YOLOX))("YOLOX-nano at 416 x 416", async () => {
		const { gradient, norm } = await measureYolox();
		expect(gradient.relative).toBeLessThan(1e-3);
		expect(gradient.cosine).toBeGreaterThan(0.99999);
		expect(norm).toBeCloseTo(1, 4);
	});
});

describe("the table of docs/autodiff.md", () => {
	const text = readFileSync(new URL("../../docs/autodiff.md", import.meta.url), "utf8");
	it.each(fixtureNames())("has a row for %s (npm run parity writes it)", (name) => expect(text.includes(`| ${name} |`)).toBe(true));
});
