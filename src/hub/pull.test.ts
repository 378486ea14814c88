import { readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FILES, NAME, refusal, type TinyHub, tinyHub, WEIGHTS } from "../../test/support/tiny-hub.ts";
import { readLockFile } from "./lock-file.ts";
import { type PlanOptions, planPull } from "./plan.ts";
import { resolveModel } from "./resolve.ts";

let hub: TinyHub;
beforeEach(async () => {
	hub = await tinyHub();
});
afterEach(() => hub.close());

describe("a plan", () => {
	it("names files, sizes, licence and commit before anything is fetched", async () => {
		const plan = await planPull(NAME, hub.options());
		expect(plan).toMatchObject({
			repository: NAME,
			revision: "main",
			commit: hub.server.commit(NAME),
			licence: "apache-2.0",
			gated: false,
		});
		expect(plan.files.map(({ path }) => path)).toEqual(["config.json", "preprocessor_config.json", "onnx/model.onnx"]);
		expect(plan.bytes).toBe(300_000 + 24 + 2);
		expect(plan.missing).toBe(plan.bytes);
		expect(hub.server.log.every(({ path }) => path.startsWith("/api/models/"))).toBe(true);
		await expect(stat(join(hub.folder, "cache"))).rejects.toThrow("ENOENT");
	});

	it("refuses what is no name, and a revision that leaves the cache", async () => {
		expect(await refusal(planPull("no name", hub.options()))).toContain("ORG/NAME of the Hugging Face Hub");
		expect(await refusal(planPull(NAME, hub.options({ revision: "../../x" })))).toContain("--revision");
		expect(hub.server.log).toHaveLength(0);
	});

	it("refuses names of files that leave the folder", async () => {
		for (const path of ["../evil.json", "/evil.json", "a/../../evil.json", "C:evil.json", "..\\evil.json"]) {
			hub.repositories[NAME] = { files: { ...FILES, [path]: "x" } };
			expect(await refusal(planPull(NAME, hub.options()))).toContain("the Hub's description of a repository");
		}
	});
});

describe("a pull", () => {
	it("lays the files out as Python's huggingface_hub does, and locks them", async () => {
		const { commit, files: locked } = await hub.fetchModel();
		const snapshot = join(hub.cached, "snapshots", commit);
		expect(await readFile(join(hub.cached, "refs/main"), "utf8")).toBe(commit);
		const link = await readlink(join(snapshot, "onnx/model.onnx"));
		expect(link).toBe(`../../../blobs/${locked["onnx/model.onnx"].sha256}`);
		expect(await readlink(join(snapshot, "config.json"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
		expect((await readFile(join(snapshot, "onnx/model.onnx"))).equals(WEIGHTS)).toBe(true);
		expect(await readdir(join(hub.cached, "blobs"))).toHaveLength(3);
		expect((await readLockFile(hub.lockFile))[NAME]).toMatchObject({ revision: "main", commit, licence: "apache-2.0", files: locked });
		expect(Object.keys(locked).sort()).toEqual(["config.json", "onnx/model.onnx", "preprocessor_config.json"]);
		expect(hub.server.log.some(({ path }) => /\.bin|quantized|safetensors|README/.test(path))).toBe(false);
		expect((await resolveModel(NAME, { settings: hub.settings(), lockFile: hub.lockFile })).dir).toBe(snapshot);
		expect((await hub.verify()).every((line) => line.endsWith(" right"))).toBe(true);
	});

	it("asks the network for nothing when all is there, and only for what is new in another revision", async () => {
		await hub.fetchModel();
		hub.server.log.length = 0;
		await hub.fetchModel();
		expect(hub.server.log).toHaveLength(0);
		hub.repositories[NAME] = { files: { ...FILES, "config.json": '{"id2label":{"0":"dog"}}' } };
		expect((await planPull(NAME, hub.options())).commit).not.toBe(hub.server.commit(NAME));
		const { commit } = await hub.fetchModel({ revision: "main" });
		expect(commit).toBe(hub.server.commit(NAME));
		expect(hub.server.log.filter(({ path }) => path.includes("/resolve/")).map(({ path }) => path)).toEqual([
			`/${NAME}/resolve/${commit}/config.json`,
		]);
		expect((await readLockFile(hub.lockFile))[NAME].commit).toBe(commit);
	});

	it("changes between float32 and float16 when asked", async () => {
		const half = WEIGHTS.subarray(0, 2000);
		hub.repositories[NAME] = { files: { "config.json": "{}", "model.safetensors": WEIGHTS, "model.fp16.safetensors": half } };
		const locked = async (more?: PlanOptions) => Object.keys((await hub.fetchModel(more)).files).sort();
		expect(await locked()).toEqual(["config.json", "model.safetensors"]);
		expect(await locked({ float16: true })).toEqual(["config.json", "model.fp16.safetensors"]);
		expect(await locked()).toEqual(["config.json", "model.fp16.safetensors"]);
		expect(await locked({ revision: "main" })).toEqual(["config.json", "model.safetensors"]);
	});

	it("fetches a damaged file of the cache again", async () => {
		const { files: locked } = await hub.fetchModel();
		const blob = join(hub.cached, "blobs", locked["onnx/model.onnx"].etag);
		await writeFile(
			blob,
			WEIGHTS.map((v) => v ^ 255),
		);
		expect(await hub.verify()).toContain("onnx/model.onnx wrong content");
		const opened = resolveModel(NAME, { settings: hub.settings(), lockFile: hub.lockFile });
		expect(await refusal(opened)).toMatch(/model.onnx: expected sha256 [0-9a-f]{64}, as the lock file says, found [0-9a-f]{64}/);
		await hub.fetchModel();
		expect(await hub.verify()).toContain("onnx/model.onnx right");
		await rm(blob);
		expect(await hub.verify()).toContain("onnx/model.onnx missing");
		await writeFile(blob, "");
		expect(await hub.verify()).toContain("onnx/model.onnx wrong size");
	});
});

describe("the lock file", () => {
	it("stops content that is not what was pulled first", async () => {
		await hub.fetchModel();
		const locked = JSON.parse(await readFile(hub.lockFile, "utf8"));
		locked.models[NAME].files["config.json"].sha256 = "0".repeat(64);
		await writeFile(hub.lockFile, JSON.stringify(locked));
		expect(await refusal(hub.fetchModel())).toMatch(/config.json: expected sha256 0{64}, as .*lock.json says, found [0-9a-f]{64}/);
		locked.models[NAME].files["onnx/model.onnx"].etag = "1".repeat(64);
		await writeFile(hub.lockFile, JSON.stringify(locked));
		expect(await refusal(hub.fetchModel())).toMatch(
			/model.onnx: expected 300000 bytes, 1{64}, as .* found 300000 bytes, [0-9a-f]{64}; do not use this HF_ENDPOINT/,
		);
		await writeFile(hub.lockFile, "{}");
		expect(await refusal(hub.fetchModel())).toMatch(/expected a lock file of version 1/);
	});

	it("brings the same commit to another machine after main has moved", async () => {
		const { commit } = await hub.fetchModel();
		const before = await readFile(hub.lockFile, "utf8");
		await rm(join(hub.folder, "cache"), { recursive: true });
		hub.repositories[NAME] = { files: { ...FILES, "config.json": "{}" }, parent: hub.repositories[NAME] };
		expect(hub.server.commit(NAME)).not.toBe(commit);
		expect((await hub.fetchModel()).commit).toBe(commit);
		expect(await readFile(join(hub.cached, "snapshots", commit, "config.json"), "utf8")).toBe(FILES["config.json"]);
		expect((await hub.fetchModel({ revision: "main" })).commit).toBe(hub.server.commit(NAME));
		await writeFile(hub.lockFile, before);
		expect((await hub.fetchModel()).commit).toBe(commit);
		expect(await readFile(join(hub.cached, "refs/main"), "utf8")).toBe(hub.server.commit(NAME));
	});
});

describe("HF_HUB_OFFLINE", () => {
	it("uses what is there and asks for nothing", async () => {
		await hub.fetchModel();
		hub.server.log.length = 0;
		const offline = { settings: hub.settings({ HF_HUB_OFFLINE: "1" }) };
		await hub.fetchModel(offline);
		expect((await resolveModel(NAME, { ...offline, lockFile: hub.lockFile })).layout).toBe("transformers");
		await rm(hub.lockFile);
		expect((await resolveModel(NAME, { ...offline, lockFile: hub.lockFile })).layout).toBe("transformers");
		expect(await refusal(hub.fetchModel(offline))).toContain("found HF_HUB_OFFLINE set");
		expect(hub.server.log).toHaveLength(0);
	});
});

describe("two at once", () => {
	it("fetch every file once", async () => {
		const waited: string[] = [];
		await Promise.all([
			hub.fetchModel({ onWait: (holder) => waited.push(holder) }),
			hub.fetchModel({ onWait: (holder) => waited.push(holder) }),
		]);
		expect(hub.stored()).toHaveLength(1);
		expect(waited).toEqual([`process ${process.pid}`]);
		expect((await hub.verify()).every((line) => line.endsWith(" right"))).toBe(true);
		expect(await readdir(join(join(hub.folder, "cache"), ".locks/models--tiny-org--tiny.detector-1"))).toEqual([]);
	});
});
