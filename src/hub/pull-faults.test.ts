import { execFileSync } from "node:child_process";
import { rmdirSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../test/support/hub-server.ts";
import { FILES, NAME, refusal, type TinyHub, tinyHub, WEIGHTS } from "../../test/support/tiny-hub.ts";
import { readLockFile } from "./lock-file.ts";
import { planPull } from "./plan.ts";
import { resolveModel } from "./resolve.ts";

const TOKEN = "hf_a-secret-that-nobody-may-see";

let hub: TinyHub;
beforeEach(async () => {
	hub = await tinyHub();
});
afterEach(() => hub.close());

describe("a connection", () => {
	it("continues where the connection broke, and reports bytes that only grow", async () => {
		hub.breakOff(2);
		const seen: number[] = [];
		await hub.fetchModel({ onProgress: ({ done }) => seen.push(done) });
		const ranges = hub.stored().map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "bytes=0-")?.[1]));
		expect(ranges).toHaveLength(3);
		expect(ranges[0]).toBe(0);
		expect(ranges[1]).toBeGreaterThan(0);
		expect(ranges[2]).toBeGreaterThan(ranges[1]);
		expect(seen).toEqual([...seen].sort((a, b) => a - b));
		expect(seen.at(-1)).toBe(300_026);
		expect(hub.pauses).toEqual([1000, 1000]);
	});

	it("gives up after five breaks without progress, keeps what arrived, and continues the next time", async () => {
		hub.breakOff(1);
		hub.server.fault((_, response, path) => {
			if (!path.includes("signature=") || hub.stored().length < 2) return false;
			response.destroy();
			return true;
		});
		expect(await refusal(hub.fetchModel())).toMatch(/expected a connection, found .*what has arrived is kept/);
		expect(hub.pauses).toEqual([1000, 2000, 4000, 8000]);
		const [partial] = await hub.partials();
		const { size } = await stat(join(hub.cached, "blobs", partial));
		expect(size).toBeGreaterThan(0);
		hub.server.fault(() => false);
		const answered = hub.stored().length;
		hub.server.fault((request, response, path) => {
			if (!path.includes("signature=")) return false;
			const from = Number(/\d+/.exec(request.headers.range ?? "")?.[0]);
			response.writeHead(206, { "content-range": `bytes ${from}-299999/300000` }).end(WEIGHTS.subarray(from));
			return true;
		});
		await hub.fetchModel();
		expect(
			hub
				.stored()
				.slice(answered)
				.map(({ range }) => range),
		).toEqual([`bytes=${size}-`]);
		expect((await hub.partials()).length > 0).toBe(false);
	});

	it("starts again where a server knows no ranges, or sends another part", async () => {
		hub.breakOff(1);
		let answered = 0;
		hub.server.fault((request, response, path) => {
			if (!path.includes("signature=") || !request.headers.range) return false;
			if (answered++ === 0) response.writeHead(206, { "content-range": "bytes 5-299999/300000" }).end(WEIGHTS.subarray(5));
			else response.writeHead(200, { "content-length": WEIGHTS.length }).end(WEIGHTS);
			return true;
		});
		await hub.fetchModel();
		expect((await hub.verify()).every((line) => line.endsWith(" right"))).toBe(true);
	});

	it("waits as long as the server asks, and longer each time where it does not", async () => {
		const answers: [number, Record<string, string>][] = [
			[429, { "retry-after": "7" }],
			[429, { ratelimit: '"resolvers";r=0;t=44' }],
			[503, {}],
			[502, { "retry-after": new Date(Date.now() + 20_000).toUTCString() }],
		];
		hub.server.fault((_, response) => {
			const answer = answers.shift();
			if (answer) fail(response, answer[0], "", answer[1]);
			return answer !== undefined;
		});
		await hub.fetchModel();
		expect(hub.pauses.slice(0, 3)).toEqual([7000, 44_000, 4000]);
		expect(hub.pauses[3]).toBeGreaterThan(15_000);
		expect(hub.pauses).toHaveLength(4);
	});

	it("does not wait for ever", async () => {
		let headers: Record<string, string> = {};
		hub.server.fault((_, response) => fail(response, 500, "", headers) !== undefined);
		expect(await refusal(planPull(NAME, hub.options()))).toMatch(/found status 500 \(a fault of the server\)/);
		expect(hub.pauses).toEqual([1000, 2000, 4000, 8000]);
		expect(hub.server.log).toHaveLength(5);
		headers = { "retry-after": "86400" };
		expect(await refusal(planPull(NAME, hub.options()))).toContain("found status 500");
		expect(hub.pauses).toHaveLength(4);
	});
});

describe("content", () => {
	it("refuses wrong content, large or small, and removes it", async () => {
		for (const part of ["signature=", "/preprocessor_config.json"]) {
			let wrong = true;
			hub.server.fault((_, response, path) => {
				if (!wrong || !path.includes(part)) return false;
				response.end(part === "signature=" ? WEIGHTS.map((v) => v ^ 1) : "[]");
				return true;
			});
			expect(await refusal(hub.fetchModel())).toMatch(
				/expected content with the hash [0-9a-f]+, found sha256 [0-9a-f]{64}; the download was removed/,
			);
			expect(await hub.partials()).toEqual([]);
			expect(await readLockFile(hub.lockFile)).toEqual({});
			expect(await refusal(resolveModel(NAME, { settings: hub.settings(), lockFile: hub.lockFile }))).toContain(`models pull ${NAME}`);
			wrong = false;
			await rm(join(hub.folder, "cache"), { recursive: true });
		}
		await hub.fetchModel();
	});

	it("refuses more bytes than announced without writing them", async () => {
		hub.server.fault((_, response, path) => {
			if (!path.includes("signature=")) return false;
			response.end(Buffer.alloc(2_000_000));
			return true;
		});
		expect(await refusal(hub.fetchModel())).toContain("expected 300000 bytes, as the Hub's list of files says, found more");
		const [partial] = await hub.partials();
		expect((await stat(join(hub.cached, "blobs", partial))).size).toBe(0);
	});
});

describe("refusals of the Hub", () => {
	it("tell how to get access to a gated model", async () => {
		hub.repositories[NAME] = { files: FILES, gated: true };
		const message = await refusal(hub.fetchModel());
		expect(message).toContain(`accept the licence at ${hub.server.endpoint}/${NAME} and set HF_TOKEN`);
		const plan = await planPull(NAME, hub.options({ settings: hub.settings({ HF_TOKEN: TOKEN }) }));
		expect(plan.gated).toBe(true);
		hub.server.fault((_, response) => fail(response, 403, "GatedRepo") !== undefined);
		expect(await refusal(hub.fetchModel({ settings: hub.settings({ HF_TOKEN: TOKEN }) }))).toContain("with the account of your token");
		hub.server.fault((_, response) => fail(response, 403, "") !== undefined);
		expect(await refusal(hub.fetchModel())).toContain("if it is gated, accept the licence at");
		expect(hub.pauses).toEqual([]);
	});

	it("name what does not exist", async () => {
		expect(await refusal(planPull("nobody/nothing", hub.options()))).toMatch(/expected a public repository nobody\/nothing.*set HF_TOKEN/);
		expect(await refusal(planPull(NAME, hub.options({ revision: "v9" })))).toContain("found status 404 RevisionNotFound; check --revision");
		expect(await refusal(planPull("stabilityai/stable-diffusion-2-inpainting", hub.options()))).toContain(
			"`kintsugi models pull sd2-inpainting`",
		);
		await hub.server.close();
		expect(await refusal(planPull(NAME, hub.options()))).toMatch(/expected a connection, found .*ECONNREFUSED/);
		expect(hub.pauses).toEqual([1000, 2000, 4000, 8000]);
	});

	it("refuse a repository that has only pickles, and fetch nothing", async () => {
		hub.repositories[NAME] = { files: { "config.json": "{}", "pytorch_model.bin": WEIGHTS, "model.ckpt": "x" } };
		expect(await refusal(hub.fetchModel())).toMatch(
			/expected weights as .safetensors or .onnx, found only pickles: pytorch_model.bin.*runs whatever program is inside/,
		);
		expect(hub.server.log.some(({ path }) => path.includes("/resolve/"))).toBe(false);
	});
});

describe("the token", () => {
	it("goes to the endpoint only, and into no message", async () => {
		hub.repositories[NAME] = { files: FILES, gated: true };
		const said: string[] = [];
		const withToken = { settings: hub.settings({ HF_TOKEN: TOKEN }), onRetry: (reason: string) => void said.push(reason) };
		await hub.fetchModel(withToken);
		expect(hub.server.log.filter(({ host }) => host === "hub").every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(
			true,
		);
		expect(hub.stored().length).toBe(1);
		expect(hub.stored()[0].authorization).toBeUndefined();

		hub.server.fault((_, response, path) => path.includes("/resolve/") && fail(response, 500, "") !== undefined);
		await rm(join(hub.folder, "cache"), { recursive: true });
		said.push(await refusal(hub.fetchModel(withToken)), await readFile(hub.lockFile, "utf8"));
		expect(said.length).toBeGreaterThan(4);
		expect(said.join("\n")).not.toContain(TOKEN);
	});

	it("does not follow a list of files to another host", async () => {
		const elsewhere = `${hub.server.storage}/api/models/${NAME}/tree/next?recursive=true`;
		hub.server.fault((_, response, path) => {
			if (!path.includes("/tree/")) return false;
			if (path.includes("/tree/next")) response.end("[]");
			else response.writeHead(200, { link: `<${elsewhere}>; rel="next"`, "content-type": "application/json" }).end("[]");
			return true;
		});
		await refusal(planPull(NAME, hub.options({ settings: hub.settings({ HF_TOKEN: TOKEN }) })));
		expect(hub.stored()).toHaveLength(1);
		expect(hub.stored()[0].authorization).toBeUndefined();
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
describe("a full disk", () => {
	it("is noticed before and during a download; what arrived is kept and continued", async ({ onTestFinished, skip }) => {
		const disk = await smallDisk();
		if (disk === undefined) return skip("needs the right to mount a tmpfs");
		onTestFinished(() => {
			execFileSync("umount", [disk]);
			rmdirSync(disk);
		});
		const onDisk = { settings: hub.settings({ HF_HUB_CACHE: join(disk, "cache") }) };
		const ballast = join(disk, "ballast");
		await writeFile(ballast, Buffer.alloc(900_000));
		expect(await refusal(hub.fetchModel(onDisk))).toMatch(/expected 300026 free bytes, found \d+; free some space/);
		await rm(ballast);

		let filled = false;
		hub.server.fault(async (_, __, path) => {
			if (path.includes("signature=") && !filled) {
				filled = true;
				await writeFile(ballast, Buffer.alloc(850_000));
			}
			return false;
		});
		expect(await refusal(hub.fetchModel(onDisk))).toMatch(/expected to write there, found a full disk; free some space/);
		const blobFolder = join(disk, "cache/models--tiny-org--tiny.detector-1/blobs");
		const [partial] = (await readdir(blobFolder)).filter((name) => name.endsWith("incomplete"));
		const { size } = await stat(join(blobFolder, partial));
		expect(size).toBeGreaterThan(0);
		await rm(ballast);
		await hub.fetchModel(onDisk);
		expect(hub.stored().at(-1)?.range).toBe(`bytes=${size}-`);
	});
});
