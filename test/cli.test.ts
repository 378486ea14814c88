import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "../src/image/decode.ts";
import { type CliResult, experiment, inProcess, kintsugi, LABELS, pictures } from "./support/cli.ts";

let folder: string;
let images: string;
let file: string;
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-cli-"));
	images = await pictures(join(folder, "pictures"), 3);
	file = experiment(join(folder, "tiny.yaml"), images, {
		attacks: [{ name: "fgsm", epsilon: [0.02, 0.1] }],
		purifiers: [{ name: "jpeg" }],
	});
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (...parts: string[]) => join(folder, ...parts);

/** One line on stderr, nothing on stdout, no stack trace. */
function expectComplaint({ code, stdout, stderr }: CliResult, expectedCode: number, ...parts: string[]): void {
	expect(stdout).toBe("");
	expect(stderr.trim().split("\n")).toHaveLength(1);
	expect(stderr).not.toMatch(/^\s+at /m);
	for (const part of parts) expect(stderr).toContain(part);
	expect(code).toBe(expectedCode);
}

describe("wrong use ends with 2 and one line", () => {
	it("an unknown command, as a process", async () => expectComplaint(await kintsugi("dmeo"), 2, "unknown command 'dmeo'", "demo"));
	it("an unknown option", async () => expectComplaint(await inProcess("run", "x.yaml", "--sed", "1"), 2, "--sed", "--seed"));
	it("a missing experiment file", async () => expectComplaint(await inProcess("run", at("no.yaml")), 2, "no.yaml", "no file of that name"));
	it("an unknown key", async () => {
		const wrong = at("wrong.yaml");
		writeFileSync(wrong, readFileSync(file, "utf8").replace("epsilon:", "epsilonn:"));
		expectComplaint(
			await inProcess("run", wrong),
			2,
			"wrong.yaml:",
			"attacks[0].epsilonn",
			'unknown key "epsilonn"',
			'write "epsilon" instead',
		);
	});
	it("an attack that does not exist", async () => {
		expectComplaint(await inProcess("attack", images, "--attack", "pdg"), 2, "pdg", 'write "pgd" instead');
	});
	it("an option of an attack that does not exist", async () => {
		expectComplaint(await inProcess("attack", images, "--set", "stepsize=1"), 2, "stepsize");
	});
});

describe("failure ends with 1 and one line", () => {
	it("a model that is not there", async () => {
		const lost = experiment(at("lost.yaml"), images, { classifier: { kind: "clip", model: "./no-model" } });
		expectComplaint(await inProcess("run", lost, "--out", at("lost")), 1, "no-model", "neither");
	});
	it("a corrupt model", async () => {
		writeFileSync(at("corrupt.onnx"), "no network");
		const classifier = { kind: "onnx", model: "corrupt.onnx", labels: LABELS, scores: { kind: "logits", output: "logits" } };
		expectComplaint(
			await inProcess("run", experiment(at("corrupt.yaml"), images, { classifier }), "--out", at("corrupt")),
			1,
			"corrupt.onnx",
		);
	});
	it("labels that do not fit the network", async () => {
		const text = readFileSync(file, "utf8").replace("    - nine\n", "");
		writeFileSync(at("nine.yaml"), text);
		expectComplaint(await inProcess("run", at("nine.yaml"), "--out", at("nine")), 2, "9");
	});
	it("prints the error as JSON where JSON was asked for", async () => {
		const { code, stdout, stderr } = await inProcess("--json", "run", at("no.yaml"));
		expect([code, stderr]).toEqual([2, ""]);
		expect(JSON.parse(stdout)).toMatchObject({ error: { code: "config", message: expect.stringContaining("no.yaml") } });
	});
});

it("has a manual page for every command", async () => {
	const { stdout } = await inProcess("--help");
	for (const command of ["demo", "run", "attack", "purify", "grad", "models", "scenes"]) {
		expect(stdout).toContain(command);
		const { code, stdout: page } = await inProcess(command, "--help");
		expect(code).toBe(0);
		for (const part of ["Usage:", "Options:", "Examples:", "--json"]) expect(page).toContain(part);
	}
}, 60_000);

describe("run", () => {
	it("prints one JSON object and writes what its manual says", async () => {
		const { code, stdout } = await inProcess("run", file, "--out", at("json"), "--json", "--quiet");
		expect(code).toBe(0);
		const object = JSON.parse(stdout);
		expect(object).toMatchObject({ report: at("json", "report.html"), summary: { experiment: { images: 3, failed: 0 } } });
		expect(object.summary).toEqual(JSON.parse(readFileSync(at("json", "summary.json"), "utf8")));
		expect(readdirSync(at("json")).sort()).toEqual(["artifacts", "records.duckdb", "report.html", "summary.json"]);
		const report = readFileSync(at("json", "report.html"), "utf8");
		expect(report).not.toMatch(/(src|href)="(?!data:)/);
		expect(report).not.toContain("<script");
		expect(report).toContain("(static)");
	});

	it("records a bad image among good ones, skips it, and loses nothing else", async () => {
		const mixed = await pictures(at("mixed"), 3);
		writeFileSync(join(mixed, "01.png"), readFileSync(join(mixed, "01.png")).subarray(0, 200));
		const { code, stdout, stderr } = await inProcess("run", experiment(at("mixed.yaml"), mixed), "--out", at("mixed-run"), "--json");
		expect(code).toBe(0);
		expect(JSON.parse(stdout).summary.experiment).toMatchObject({ images: 3, failed: 1 });
		expect(stderr).toMatch(/skipped: image 01\.png at canvas: .*complete png/);
	});

	it("ends with 1 if no image is left", async () => {
		rmSync(at("none"), { recursive: true, force: true });
		const none = await pictures(at("none"), 1);
		writeFileSync(join(none, "00.png"), "");
		const { code, stderr } = await inProcess("run", experiment(at("none.yaml"), none), "--out", at("none-run"));
		expect(code).toBe(1);
		expect(stderr).toContain("an empty file");
	});
});

describe("attack and purify", () => {
	it("take any picture, refuse what is none, and say which", async () => {
		const odd = at("odd");
		await pictures(odd, 1);
		const picture = () => sharp(readFileSync(join(odd, "00.png"))).resize(40, 30, { fit: "fill" });
		const good: Record<string, Buffer> = {
			"cmyk.jpg": await picture().toColourspace("cmyk").jpeg().toBuffer(),
			"deep.png": await picture().toColourspace("rgb16").png().toBuffer(),
			"clear.png": await picture().ensureAlpha(0.5).png().toBuffer(),
			"turned.jpg": await picture().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
		};
		const frames = { raw: { width: 8, height: 24, channels: 3, pageHeight: 8 } } as const;
		const bad: Record<string, Buffer | string> = {
			"cut.jpg": (await picture().jpeg().toBuffer()).subarray(0, 300),
			"empty.png": "",
			"text.png": "no picture",
			"moving.gif": await sharp(
				new Uint8Array(8 * 24 * 3).map((_, i) => i % 251),
				frames,
			)
				.gif()
				.toBuffer(),
			"dot.png": await sharp({ create: { width: 1, height: 1, channels: 3, background: "red" } })
				.png()
				.toBuffer(),
			"large.png": await sharp({ create: { width: 1200, height: 1200, channels: 3, background: "red" } })
				.png()
				.toBuffer(),
		};
		for (const [name, bytes] of Object.entries({ ...good, ...bad })) writeFileSync(join(odd, name), bytes);
		const flags = ["--experiment", experiment(at("odd.yaml"), images, { data: { images, canvas: { size: 16 }, maxMegapixels: 1 } })];

		const attacked = await inProcess(
			"attack",
			odd,
			join(odd, "lost.png"),
			...flags,
			"--epsilon",
			"8/255",
			"--out",
			at("attacked"),
			"--json",
		);
		expect(attacked.code).toBe(1);
		const result = JSON.parse(attacked.stdout);
		const reasons = (failures: { image: string; message: string }[]) => failures.map(({ image }) => image.split("/").at(-1)).sort();
		expect(reasons(result.failures)).toEqual([...Object.keys(bad), "lost.png"].sort());
		expect(attacked.stderr.trim().split("\n")).toHaveLength(7);
		expect(result.images.map((i: { linf: number }) => i.linf <= 8 / 255)).toEqual(Array(5).fill(true));
		for (const name of ["00", "cmyk", "deep", "clear", "turned"]) {
			const { width, height } = await decodeImage(at("attacked", `${name}.adversarial.png`));
			expect([width, height]).toEqual([16, 16]);
			const record = JSON.parse(readFileSync(at("attacked", `${name}.attack.json`), "utf8"));
			expect(record).toMatchObject({
				threat: "static",
				attack: { name: "fgsm", epsilon: 8 / 255 },
				outcome: { success: expect.any(Boolean) },
			});
			expect(Object.keys(record.before.logits)).toEqual([...LABELS].sort());
		}

		const purified = await inProcess(
			"purify",
			at("attacked"),
			...flags,
			"--purifier",
			"jpeg",
			"--set",
			"quality=40",
			"--out",
			at("purified"),
			"--json",
		);
		expect([purified.code, purified.stderr]).toEqual([0, ""]);
		const written = readdirSync(at("purified"))
			.filter((name) => name.startsWith("cmyk"))
			.sort();
		expect(written).toEqual(["cmyk.adversarial.mask.png", "cmyk.adversarial.purified.png", "cmyk.adversarial.purify.json"]);
		const record = JSON.parse(readFileSync(at("purified", "cmyk.adversarial.purify.json"), "utf8"));
		expect(record).toMatchObject({ made: { purifier: { name: "jpeg", options: { quality: 40 } } }, regions: [] });
		expect(record.before.logits).not.toEqual(record.after.logits);
	}, 60_000);
});
