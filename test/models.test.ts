/** @file `kintsugi models pull` and `verify`: a real bundled model, served by a Hub on the loopback interface. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { resolveModel } from "../src/hub/resolve.ts";
import { hubSettings } from "../src/hub/settings.ts";
import { detectorSchema, openDetector } from "../src/models/detectors/open-detector.ts";
import { zeros } from "../src/tensor/tensor.ts";
import { type CliResult, inProcess, ROOT, start } from "./support/cli.ts";
import { type HubServer, hubServer } from "./support/hub-server.ts";

const NAME = "mini/yolos";
const source = join(ROOT, "models/mini-yolos");
const files = Object.fromEntries(
	readdirSync(source, { recursive: true, encoding: "utf8" })
		.filter((name) => statSync(join(source, name)).isFile())
		.map((name) => [name, readFileSync(join(source, name))]),
);

let folder = "";
let server: HubServer;
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-models-"));
	server = await hubServer({ [NAME]: { files, licence: "apache-2.0" } });
});
afterEach(async () => {
	await server.close();
	rmSync(folder, { recursive: true });
});

const environment = () => ({
	HF_ENDPOINT: server.endpoint,
	HF_HOME: join(folder, "hf"),
	HF_TOKEN: "hf_secret",
	HF_HUB_CACHE: "",
	HF_HUB_OFFLINE: "",
});
/** As a process of its own. */
const begin = (...args: string[]) => start(["models", ...args], { cwd: folder, env: environment() });
/** In this process. */
function models(...args: string[]) {
	for (const [name, value] of Object.entries(environment())) vi.stubEnv(name, value);
	return inProcess("models", ...args, "--lock-file", lockFile()).finally(() => vi.unstubAllEnvs());
}
const lockFile = () => join(folder, "kintsugi.lock.json");
const blobs = () => join(folder, "hf/hub/models--mini--yolos/blobs");
const stored = () => server.log.filter(({ host }) => host === "storage");

/** Waits for the stall; a process that ends before it fails the test with what it said. */
async function until(started: Promise<void>, result: Promise<CliResult>): Promise<void> {
	const ended = result.then(({ stderr }) => Promise.reject(new Error(stderr)));
	await Promise.race([started, ended]);
	ended.catch(() => {});
}

/** Sends the first megabyte of the weights and then nothing. */
function stall(): { started: Promise<void> } {
	let tell = () => {};
	const started = new Promise<void>((resolve) => {
		tell = resolve;
	});
	let once = true;
	server.fault((_, response, path) => {
		if (!path.includes("model.onnx?signature=") || !once) return false;
		once = false;
		response.writeHead(200, { "content-length": files["onnx/model.onnx"].length });
		response.write(files["onnx/model.onnx"].subarray(0, 1_000_000), () => setTimeout(tell, 500));
		return true;
	});
	return { started };
}

describe("models pull", () => {
	it("shows, asks, fetches, and opens what it fetched; verify notices damage", async () => {
		const shown = await models("pull", NAME, "--dry-run");
		expect(shown.stdout).toMatch(/mini\/yolos at main, commit [0-9a-f]{40}\nlicence: apache-2.0\n/);
		expect(shown.stdout).toMatch(/onnx\/model.onnx +6\.0 MB\n6\.0 MB in all, 6\.0 MB to fetch, into .*snapshots/);
		const unasked = await models("pull", NAME);
		expect(unasked).toMatchObject({ code: 2, stdout: "" });
		expect(unasked.stderr).toContain("licence: apache-2.0");
		expect(unasked.stderr).toContain("expected --yes where nobody can be asked");
		expect(stored()).toHaveLength(0);

		const { code, stdout, stderr } = await models("pull", NAME, "--yes", "--json");
		expect({ code, stderr: stderr.includes("hf_secret") || stdout.includes("hf_secret") }).toEqual({ code: 0, stderr: false });
		expect(JSON.parse(stdout)).toMatchObject({ repository: NAME, licence: "apache-2.0", pulled: true, lockFile: lockFile() });
		const settings = hubSettings(environment());
		const { dir } = await resolveModel(NAME, { settings, lockFile: lockFile() });
		const detector = await openDetector(detectorSchema.parse({ kind: "detr", path: dir }));
		expect(await detector.detect(zeros([1, 3, 64, 64]))).toHaveLength(1);
		await detector.close();

		expect(await models("verify")).toMatchObject({ code: 0, stdout: `3 of 3 files of 1 models are as ${lockFile()} says\n` });
		writeFileSync(join(dir, "config.json"), "{}");
		const damaged = await models("verify");
		expect(damaged.code).toBe(1);
		expect(damaged.stdout).toContain("wrong size: mini/yolos/config.json\n2 of 3 files");
		expect((await models("pull", NAME, "--yes", "--quiet")).code).toBe(0);
		expect((await models("verify", "--quiet")).code).toBe(0);
	});

	it("continues after the process was killed, although its lock is still there", async () => {
		const { started } = stall();
		const { child, result } = begin("pull", NAME, "--yes");
		await until(started, result);
		child.kill("SIGKILL");
		await result;
		const [partial] = readdirSync(blobs()).filter((name) => name.endsWith("incomplete"));
		const { size } = statSync(join(blobs(), partial));
		expect(size).toBeGreaterThan(0);
		expect(readdirSync(join(folder, "hf/hub/.locks/models--mini--yolos"))).toEqual(["kintsugi.lock"]);
		expect((await models("pull", NAME, "--yes")).code).toBe(0);
		expect(stored().at(-1)?.range).toBe(`bytes=${size}-`);
		expect((await models("verify")).code).toBe(0);
		expect(readdirSync(blobs()).some((name) => name.includes("incomplete"))).toBe(false);
	});

	it("stops on Ctrl-C with one line, and continues", async () => {
		const { started } = stall();
		const { child, result } = begin("pull", NAME, "--yes");
		await until(started, result);
		child.kill("SIGINT");
		const { code, stderr } = await result;
		expect(code).toBe(1);
		expect(stderr).toContain("stopped; run the same command to continue");
		expect((await models("pull", NAME, "--yes")).code).toBe(0);
		expect(stored().at(-1)?.range).toMatch(/^bytes=[1-9]\d*-$/);
	});

	it("by two processes at once fetches every file once and damages nothing", async () => {
		const both = await Promise.all([begin("pull", NAME, "--yes").result, begin("pull", NAME, "--yes").result]);
		expect(both.map(({ code }) => code)).toEqual([0, 0]);
		expect(stored().filter(({ path }) => path.includes("model.onnx"))).toHaveLength(1);
		expect((await models("verify")).code).toBe(0);
	});
});
