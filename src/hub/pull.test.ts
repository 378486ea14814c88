import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fail, type HubRepository, type HubServer, hubServer } from "../../test/support/hub-server.ts";
import { KintsugiError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import { readLockFile } from "./lock-file.ts";
import { type PlanOptions, type PullOptions, planPull, pull } from "./pull.ts";
import { resolveModel } from "./resolve.ts";
import { hubSettings } from "./settings.ts";
import { verifyModels } from "./verify.ts";

const TOKEN = "hf_a-secret-that-nobody-may-see";
const NAME = "tiny-org/tiny.detector-1";
const draw = random("hub", "weights");
const weights = Uint8Array.from({ length: 300_000 }, () => draw.int(256));
const files: HubRepository["files"] = {
	"README.md": "card",
	"config.json": '{"id2label":{"0":"cat"}}',
	"preprocessor_config.json": "{}",
	"onnx/model.onnx": weights,
	"onnx/model_quantized.onnx": weights.slice(0, 5000),
	"pytorch_model.bin": weights.slice(0, 6000),
	"model.safetensors": weights.slice(0, 7000),
};

let folder = "";
let server: HubServer;
let repositories: Record<string, HubRepository>;
let pauses: number[] = [];
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "kintsugi-pull-"));
	repositories = { [NAME]: { files, licence: "apache-2.0" } };
	server = await hubServer(repositories);
	pauses = [];
});
afterEach(async () => {
	await server.close();
	await rm(folder, { recursive: true });
});

const cacheDir = () => join(folder, "cache");
const repository = () => join(cacheDir(), "models--tiny-org--tiny.detector-1");
const lockFile = () => join(folder, "kintsugi.lock.json");
const settings = (env: Record<string, string> = {}) =>
	hubSettings({ HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: cacheDir(), HF_HOME: folder, ...env });
const options = (more: Partial<PlanOptions> = {}): PlanOptions => ({
	settings: settings(),
	lockFile: lockFile(),
	wait: async (milliseconds) => void pauses.push(milliseconds),
	...more,
});
const fetchModel = async (more: Partial<PlanOptions> = {}, name = NAME) => {
	const all = options(more);
	return pull(await planPull(name, all), all as PullOptions);
};
const blobs = () => readdir(join(repository(), "blobs"));
const stored = () => server.log.filter(({ host }) => host === "storage");

async function refusal(work: Promise<unknown>): Promise<string> {
	const error = await work.then(
		() => undefined,
		(e: unknown) => e,
	);
	expect(error).toBeInstanceOf(KintsugiError);
	return (error as KintsugiError).message;
}

/** Sends half of every large file, then cuts the connection, `times` times. */
function breakOff(times: number, share = 0.5): void {
	let left = times;
	server.fault((request, response, path) => {
		if (!path.includes("signature=") || left === 0) return false;
		left--;
		const from = Number(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0);
		const rest = Buffer.from(weights.subarray(from));
		const headers = { "content-length": rest.length, "content-range": `bytes ${from}-${weights.length - 1}/${weights.length}` };
		response.writeHead(from > 0 ? 206 : 200, headers);
		response.write(rest.subarray(0, Math.floor(rest.length * share)), () => setTimeout(() => response.destroy(), 20));
		return true;
	});
}

describe("a plan", () => {
	it("names files, sizes, licence and commit before anything is fetched", async () => {
		const plan = await planPull(NAME, options());
		expect(plan).toMatchObject({ repository: NAME, revision: "main", commit: server.commit(NAME), licence: "apache-2.0", gated: false });
		expect(plan.files.map(({ path }) => path)).toEqual(["config.json", "preprocessor_config.json", "onnx/model.onnx"]);
		expect(plan.bytes).toBe(300_000 + 24 + 2);
		expect(plan.missing).toBe(plan.bytes);
		expect(server.log.every(({ path }) => path.startsWith("/api/models/"))).toBe(true);
		await expect(stat(cacheDir())).rejects.toThrow("ENOENT");
	});

	it("refuses what is no name, and a revision that leaves the cache", async () => {
		expect(await refusal(planPull("no name", options()))).toContain("ORG/NAME of the Hugging Face Hub");
		expect(await refusal(planPull(NAME, options({ revision: "../../x" })))).toContain("--revision");
		expect(server.log).toHaveLength(0);
	});

	it("refuses names of files that leave the folder", async () => {
		for (const path of ["../evil.json", "/evil.json", "a/../../evil.json", "C:evil.json", "..\\evil.json"]) {
			repositories[NAME] = { files: { ...files, [path]: "x" } };
			expect(await refusal(planPull(NAME, options()))).toContain("the Hub's description of a repository");
		}
	});
});

describe("a pull", () => {
	it("lays the files out as Python's huggingface_hub does, and locks them", async () => {
		const { commit, files: locked } = await fetchModel();
		const snapshot = join(repository(), "snapshots", commit);
		expect(await readFile(join(repository(), "refs/main"), "utf8")).toBe(commit);
		const link = await readlink(join(snapshot, "onnx/model.onnx"));
		expect(link).toBe(`../../../blobs/${locked["onnx/model.onnx"].sha256}`);
		expect(await readlink(join(snapshot, "config.json"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
		expect(new Uint8Array(await readFile(join(snapshot, "onnx/model.onnx")))).toEqual(weights);
		expect(await blobs()).toHaveLength(3);
		expect((await readLockFile(lockFile()))[NAME]).toMatchObject({ revision: "main", commit, licence: "apache-2.0", files: locked });
		expect(Object.keys(locked).sort()).toEqual(["config.json", "onnx/model.onnx", "preprocessor_config.json"]);
		expect(server.log.some(({ path }) => /\.bin|quantized|safetensors|README/.test(path))).toBe(false);
		expect((await resolveModel(NAME, { settings: settings(), lockFile: lockFile() })).dir).toBe(snapshot);
		expect((await verifyModels({ settings: settings(), lockFile: lockFile() })).every(({ state }) => state === "right")).toBe(true);
	});

	it("asks the network for nothing when all is there, and only for what is new in another revision", async () => {
		await fetchModel();
		server.log.length = 0;
		await fetchModel();
		expect(server.log).toHaveLength(0);
		repositories[NAME] = { files: { ...files, "config.json": '{"id2label":{"0":"dog"}}' } };
		expect((await planPull(NAME, options())).commit).not.toBe(server.commit(NAME));
		const { commit } = await fetchModel({ revision: "main" });
		expect(commit).toBe(server.commit(NAME));
		expect(server.log.filter(({ path }) => path.includes("/resolve/")).map(({ path }) => path)).toEqual([
			`/${NAME}/resolve/${commit}/config.json`,
		]);
		expect((await readLockFile(lockFile()))[NAME].commit).toBe(commit);
	});

	it("continues where the connection broke, and reports bytes that only grow", async () => {
		breakOff(2);
		const seen: number[] = [];
		await fetchModel({ onProgress: ({ done }) => seen.push(done) });
		const ranges = stored().map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "bytes=0-")?.[1]));
		expect(ranges).toHaveLength(3);
		expect(ranges[0]).toBe(0);
		expect(ranges[1]).toBeGreaterThan(0);
		expect(ranges[2]).toBeGreaterThan(ranges[1]);
		expect(seen).toEqual([...seen].sort((a, b) => a - b));
		expect(seen.at(-1)).toBe(300_026);
		expect(pauses).toEqual([1000, 1000]);
	});

	it("gives up after five breaks without progress, keeps what arrived, and continues the next time", async () => {
		breakOff(1);
		server.fault((_, response, path) => {
			if (!path.includes("signature=") || stored().length < 2) return false;
			response.destroy();
			return true;
		});
		expect(await refusal(fetchModel())).toMatch(/expected a connection, found .*what has arrived is kept/);
		expect(pauses).toEqual([1000, 2000, 4000, 8000]);
		const [partial] = (await blobs()).filter((name) => name.endsWith(".kintsugi-incomplete"));
		const { size } = await stat(join(repository(), "blobs", partial));
		expect(size).toBeGreaterThan(0);
		server.fault(() => false);
		const answered = stored().length;
		server.fault((request, response, path) => {
			if (!path.includes("signature=")) return false;
			const from = Number(/\d+/.exec(request.headers.range ?? "")?.[0]);
			response.writeHead(206, { "content-range": `bytes ${from}-299999/300000` }).end(weights.subarray(from));
			return true;
		});
		await fetchModel();
		expect(
			stored()
				.slice(answered)
				.map(({ range }) => range),
		).toEqual([`bytes=${size}-`]);
		expect((await blobs()).some((name) => name.includes("incomplete"))).toBe(false);
	});

	it("starts again where a server knows no ranges, or sends another part", async () => {
		breakOff(1);
		let answered = 0;
		server.fault((request, response, path) => {
			if (!path.includes("signature=") || !request.headers.range) return false;
			if (answered++ === 0) response.writeHead(206, { "content-range": "bytes 5-299999/300000" }).end(weights.subarray(5));
			else response.writeHead(200, { "content-length": weights.length }).end(weights);
			return true;
		});
		await fetchModel();
		expect((await verifyModels({ settings: settings(), lockFile: lockFile() })).map(({ state }) => state)).toEqual([
			"right",
			"right",
			"right",
		]);
	});

	it("refuses wrong content, large or small, and removes it", async () => {
		for (const part of ["signature=", "/preprocessor_config.json"]) {
			let wrong = true;
			server.fault((_, response, path) => {
				if (!wrong || !path.includes(part)) return false;
				response.end(part === "signature=" ? weights.map((v) => v ^ 1) : "[]");
				return true;
			});
			expect(await refusal(fetchModel())).toMatch(
				/expected content with the hash [0-9a-f]+, found sha256 [0-9a-f]{64}; the download was removed/,
			);
			expect((await blobs()).filter((name) => name.includes("incomplete"))).toEqual([]);
			expect(await readLockFile(lockFile())).toEqual({});
			expect(await refusal(resolveModel(NAME, { settings: settings(), lockFile: lockFile() }))).toContain(`models pull ${NAME}`);
			wrong = false;
			await rm(cacheDir(), { recursive: true });
		}
		await fetchModel();
	});

	it("refuses more bytes than announced without writing them", async () => {
		server.fault((_, response, path) => {
			if (!path.includes("signature=")) return false;
			response.end(Buffer.alloc(2_000_000));
			return true;
		});
		expect(await refusal(fetchModel())).toContain("expected 300000 bytes, as the Hub's list of files says, found more");
		const [partial] = (await blobs()).filter((name) => name.includes("incomplete"));
		expect((await stat(join(repository(), "blobs", partial))).size).toBe(0);
	});

	it("waits as long as the server asks, and longer each time where it does not", async () => {
		const answers: [number, Record<string, string>][] = [
			[429, { "retry-after": "7" }],
			[429, { ratelimit: '"resolvers";r=0;t=44' }],
			[503, {}],
			[502, { "retry-after": new Date(Date.now() + 20_000).toUTCString() }],
		];
		server.fault((_, response) => {
			const answer = answers.shift();
			if (answer) fail(response, answer[0], "", answer[1]);
			return answer !== undefined;
		});
		await fetchModel();
		expect(pauses.slice(0, 3)).toEqual([7000, 44_000, 4000]);
		expect(pauses[3]).toBeGreaterThan(15_000);
		expect(pauses).toHaveLength(4);
	});

	it("does not wait for ever", async () => {
		let headers: Record<string, string> = {};
		server.fault((_, response) => fail(response, 500, "", headers) !== undefined);
		expect(await refusal(planPull(NAME, options()))).toMatch(/found status 500 \(a fault of the server\)/);
		expect(pauses).toEqual([1000, 2000, 4000, 8000]);
		expect(server.log).toHaveLength(5);
		headers = { "retry-after": "86400" };
		expect(await refusal(planPull(NAME, options()))).toContain("found status 500");
		expect(pauses).toHaveLength(4);
	});

	it("fetches a damaged file of the cache again", async () => {
		const { files: locked } = await fetchModel();
		const blob = join(repository(), "blobs", locked["onnx/model.onnx"].etag);
		await writeFile(
			blob,
			weights.map((v) => v ^ 255),
		);
		const states = async () =>
			(await verifyModels({ settings: settings(), lockFile: lockFile() })).map(({ path, state }) => `${path} ${state}`);
		expect(await states()).toContain("onnx/model.onnx wrong content");
		await fetchModel();
		expect(await states()).toContain("onnx/model.onnx right");
		await rm(blob);
		expect(await states()).toContain("onnx/model.onnx missing");
		await writeFile(blob, "");
		expect(await states()).toContain("onnx/model.onnx wrong size");
	});
});

describe("refusals of the Hub", () => {
	it("tell how to get access to a gated model", async () => {
		repositories[NAME] = { files, gated: true };
		const message = await refusal(fetchModel());
		expect(message).toContain(`accept the licence at ${server.endpoint}/${NAME} and set HF_TOKEN`);
		const plan = await planPull(NAME, options({ settings: settings({ HF_TOKEN: TOKEN }) }));
		expect(plan.gated).toBe(true);
		server.fault((_, response) => fail(response, 403, "GatedRepo") !== undefined);
		expect(await refusal(fetchModel({ settings: settings({ HF_TOKEN: TOKEN }) }))).toContain("with the account of your token");
		expect(pauses).toEqual([]);
	});

	it("name what does not exist", async () => {
		expect(await refusal(planPull("nobody/nothing", options()))).toMatch(/expected a public repository nobody\/nothing.*set HF_TOKEN/);
		expect(await refusal(planPull(NAME, options({ revision: "v9" })))).toContain("found status 404 RevisionNotFound; check --revision");
		expect(await refusal(planPull("stabilityai/stable-diffusion-2-inpainting", options()))).toContain(
			"`kintsugi models pull sd2-inpainting`",
		);
		await server.close();
		expect(await refusal(planPull(NAME, options()))).toMatch(/expected a connection, found .*ECONNREFUSED/);
		expect(pauses).toEqual([1000, 2000, 4000, 8000]);
		server = await hubServer(repositories);
	});

	it("refuse a repository that has only pickles, and fetch nothing", async () => {
		repositories[NAME] = { files: { "config.json": "{}", "pytorch_model.bin": weights, "model.ckpt": "x" } };
		expect(await refusal(fetchModel())).toMatch(
			/expected weights as .safetensors or .onnx, found only pickles: pytorch_model.bin.*runs whatever program is inside/,
		);
		expect(server.log.some(({ path }) => path.includes("/resolve/"))).toBe(false);
	});
});

describe("the token", () => {
	it("goes to the endpoint only, and into no message", async () => {
		repositories[NAME] = { files, gated: true };
		const said: string[] = [];
		const withToken = { settings: settings({ HF_TOKEN: TOKEN }), onRetry: (reason: string) => void said.push(reason) };
		await fetchModel(withToken);
		expect(server.log.filter(({ host }) => host === "hub").every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true);
		expect(stored().length).toBe(1);
		expect(stored()[0].authorization).toBeUndefined();

		server.fault((_, response, path) => path.includes("/resolve/") && fail(response, 500, "") !== undefined);
		await rm(cacheDir(), { recursive: true });
		said.push(await refusal(fetchModel(withToken)), await readFile(lockFile(), "utf8"));
		expect(said.length).toBeGreaterThan(4);
		expect(said.join("\n")).not.toContain(TOKEN);
	});

	it("does not follow a list of files to another host", async () => {
		const elsewhere = `${server.storage}/api/models/${NAME}/tree/next?recursive=true`;
		server.fault((_, response, path) => {
			if (!path.includes("/tree/")) return false;
			if (path.includes("/tree/next")) response.end("[]");
			else response.writeHead(200, { link: `<${elsewhere}>; rel="next"`, "content-type": "application/json" }).end("[]");
			return true;
		});
		await refusal(planPull(NAME, options({ settings: settings({ HF_TOKEN: TOKEN }) })));
		expect(stored()).toHaveLength(1);
		expect(stored()[0].authorization).toBeUndefined();
	});
});

describe("the lock file", () => {
	it("stops content that is not what was pulled first", async () => {
		await fetchModel();
		const locked = JSON.parse(await readFile(lockFile(), "utf8"));
		locked.models[NAME].files["config.json"].sha256 = "0".repeat(64);
		await writeFile(lockFile(), JSON.stringify(locked));
		expect(await refusal(fetchModel())).toMatch(/config.json: expected sha256 0{64}, as .*lock.json says, found [0-9a-f]{64}/);
		locked.models[NAME].files["onnx/model.onnx"].etag = "1".repeat(64);
		await writeFile(lockFile(), JSON.stringify(locked));
		expect(await refusal(fetchModel())).toMatch(
			/model.onnx: expected 300000 bytes, 1{64}, as .* found 300000 bytes, [0-9a-f]{64}; do not use this HF_ENDPOINT/,
		);
		await writeFile(lockFile(), "{}");
		expect(await refusal(fetchModel())).toMatch(/expected a lock file of version 1/);
	});

	it("brings the same commit to another machine after main has moved", async () => {
		const { commit } = await fetchModel();
		const before = await readFile(lockFile(), "utf8");
		await rm(cacheDir(), { recursive: true });
		repositories[NAME] = { files: { ...files, "config.json": "{}" }, parent: repositories[NAME] };
		expect(server.commit(NAME)).not.toBe(commit);
		expect((await fetchModel()).commit).toBe(commit);
		expect(await readFile(join(repository(), "snapshots", commit, "config.json"), "utf8")).toBe(files["config.json"]);
		expect((await fetchModel({ revision: "main" })).commit).toBe(server.commit(NAME));
		await writeFile(lockFile(), before);
		expect((await fetchModel()).commit).toBe(commit);
		expect(await readFile(join(repository(), "refs/main"), "utf8")).toBe(server.commit(NAME));
	});
});

describe("HF_HUB_OFFLINE", () => {
	it("uses what is there and asks for nothing", async () => {
		await fetchModel();
		server.log.length = 0;
		const offline = { settings: settings({ HF_HUB_OFFLINE: "1" }) };
		await fetchModel(offline);
		expect((await resolveModel(NAME, { ...offline, lockFile: lockFile() })).layout).toBe("transformers");
		await rm(lockFile());
		expect((await resolveModel(NAME, { ...offline, lockFile: lockFile() })).layout).toBe("transformers");
		expect(await refusal(fetchModel(offline))).toContain("found HF_HUB_OFFLINE set");
		expect(server.log).toHaveLength(0);
	});
});

describe("two at once", () => {
	it("fetch every file once", async () => {
		const waited: string[] = [];
		await Promise.all([fetchModel({ onWait: (holder) => waited.push(holder) }), fetchModel({ onWait: (holder) => waited.push(holder) })]);
		expect(stored()).toHaveLength(1);
		expect(waited).toEqual([`process ${process.pid}`]);
		expect((await verifyModels({ settings: settings(), lockFile: lockFile() })).every(({ state }) => state === "right")).toBe(true);
		expect(await readdir(join(cacheDir(), ".locks/models--tiny-org--tiny.detector-1"))).toEqual([]);
	});
});

/** A disk of one megabyte, where this process may mount one. */
async function smallDisk(): Promise<string | undefined> {
	const disk = await mkdtemp(join(tmpdir(), "kintsugi-disk-"));
	try {
		execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], { stdio: "ignore" });
		return disk;
	} catch {
		await rm(disk, { recursive: true });
		return undefined;
	}
}
const disk = await smallDisk();

describe.skipIf(disk === undefined)("a full disk (needs the right to mount a tmpfs)", () => {
	afterEach(async () => {
		if (disk === undefined) return;
		execFileSync("umount", [disk]);
		await rm(disk, { recursive: true });
	});

	it("is noticed before and during a download; what arrived is kept and continued", async () => {
		if (disk === undefined) return;
		const onDisk = { settings: settings({ HF_HUB_CACHE: join(disk, "cache") }) };
		const ballast = join(disk, "ballast");
		await writeFile(ballast, Buffer.alloc(900_000));
		expect(await refusal(fetchModel(onDisk))).toMatch(/expected 300026 free bytes, found \d+; free some space/);
		await rm(ballast);

		let filled = false;
		server.fault(async (_, __, path) => {
			if (path.includes("signature=") && !filled) {
				filled = true;
				await writeFile(ballast, Buffer.alloc(850_000));
			}
			return false;
		});
		expect(await refusal(fetchModel(onDisk))).toMatch(/expected to write there, found a full disk; free some space/);
		const blobFolder = join(disk, "cache/models--tiny-org--tiny.detector-1/blobs");
		const [partial] = (await readdir(blobFolder)).filter((name) => name.endsWith("incomplete"));
		const { size } = await stat(join(blobFolder, partial));
		expect(size).toBeGreaterThan(0);
		await rm(ballast);
		await fetchModel(onDisk);
		expect(stored().at(-1)?.range).toBe(`bytes=${size}-`);
	});
});
