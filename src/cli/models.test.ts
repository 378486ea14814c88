import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { HUB_MODELS } from "../hub/catalogue.ts";
import { BUNDLED_MODELS } from "../hub/registry.ts";
import { hubSettings } from "../hub/settings.ts";
import { modelsCommand } from "./models.ts";

let root = "";
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "kintsugi-models-"));
	await mkdir(join(root, "models/mini-clip"), { recursive: true });
	await writeFile(join(root, "models/mini-clip/weights"), new Uint8Array(2_340_000));
	const quality = { "mini-clip": { parameters: 1_312_000, on: "500 fresh scenes", measured: { "P@1": 0.9512, mAP: 0.87 } } };
	await writeFile(join(root, "models/quality.json"), JSON.stringify(quality));
});
afterEach(() => rm(root, { recursive: true }));

async function run(...args: string[]): Promise<string> {
	let out = "";
	const settings = hubSettings({ HF_HOME: root });
	await modelsCommand({ root, settings, lockFile: join(root, "lock.json"), write: (text) => (out += text) }).parseAsync(args, {
		from: "user",
	});
	return out;
}

it("prints one line a model under headings that line up", async () => {
	const [bundled, hub] = (await run()).trimEnd().split("\n\n");
	const lines = bundled.split("\n");
	expect(lines).toHaveLength(1 + BUNDLED_MODELS.length);
	expect(lines[1]).toMatch(
		/^mini-clip +zero-shot classification +CLIPModel +1\.3 M +2\.3 MB +Apache-2\.0 +P@1 0\.951, mAP 0\.87 \(500 fresh scenes\)$/,
	);
	expect(lines[4]).toMatch(/^mini-ddpm .* - +missing +Apache-2\.0 +not measured$/);
	expect(lines[5]).toMatch(/^mini-taesd +latent autoencoder +AutoencoderTiny +- +missing +Apache-2\.0 +not measured$/);
	for (const line of lines) expect(line.indexOf(line === lines[0] ? "licence" : "Apache-2.0")).toBe(lines[1].indexOf("Apache-2.0"));
	expect(hub.split("\n")).toHaveLength(1 + HUB_MODELS.length);
	expect(hub).toMatch(/\nsd2-inpainting +inpainting +sd2-community\/stable-diffusion-2-inpainting +~5\.2 GB +openrail\+\+ +not pulled\n/);
	expect(await run("list")).toBe(await run());
});

it("tells a model that lies in the cache, as Python left it", async () => {
	const commit = "0123456789abcdef0123456789abcdef01234567";
	const folder = join(root, "hub/models--madebyollin--taesd");
	await mkdir(join(folder, "snapshots", commit), { recursive: true });
	await mkdir(join(folder, "refs"));
	await writeFile(join(folder, "refs/main"), commit);
	await writeFile(join(folder, "snapshots", commit, "config.json"), "{}");
	await writeFile(join(folder, "snapshots", commit, "diffusion_pytorch_model.safetensors"), new Uint8Array(1500));
	await writeFile(join(folder, "snapshots", commit, "diffusion_pytorch_model.bin"), new Uint8Array(9000));
	expect(await run()).toMatch(/\ntaesd .* 1\.5 kB +mit +pulled, not locked\n/);
	const { hub } = JSON.parse(await run("--json"));
	const taesd = hub.find(({ name }: { name: string }) => name === "taesd");
	expect(taesd.pulled).toMatchObject({ commit, bytes: 1502, locked: false });
});

it("prints one JSON object with --json", async () => {
	const { models } = JSON.parse(await run("--json"));
	expect(models.map((m: { name: string }) => m.name)).toEqual(BUNDLED_MODELS.map(({ name }) => name));
	expect(models[0]).toMatchObject({ bytes: 2_340_000, quality: { parameters: 1_312_000 }, card: "models/mini-clip/README.md" });
});
