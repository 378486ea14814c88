/** @file A tiny model on the Hub of `hub-server.ts`, and a cache of its own for every test. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { KintsugiError } from "../../src/errors.ts";
import type { LockedModel } from "../../src/hub/lock-file.ts";
import { type PlanOptions, planPull } from "../../src/hub/plan.ts";
import { type PullOptions, pull } from "../../src/hub/pull.ts";
import { type HubSettings, hubSettings } from "../../src/hub/settings.ts";
import { verifyModels } from "../../src/hub/verify.ts";
import { random } from "../../src/tensor/random.ts";
import { type HubRepository, type HubServer, hubServer } from "./hub-server.ts";

export const NAME = "tiny-org/tiny.detector-1";
const draw = random("hub", "weights");
export const WEIGHTS = Buffer.from(Array.from({ length: 300_000 }, () => draw.int(256)));

/** What is needed of it: config.json, preprocessor_config.json and onnx/model.onnx, 300,026 bytes in all. */
export const FILES: HubRepository["files"] = {
	"README.md": "card",
	"config.json": '{"id2label":{"0":"cat"}}',
	"preprocessor_config.json": "{}",
	"onnx/model.onnx": WEIGHTS,
	"onnx/model_quantized.onnx": WEIGHTS.subarray(0, 5000),
	"pytorch_model.bin": WEIGHTS.subarray(0, 6000),
	"model.safetensors": WEIGHTS.subarray(0, 7000),
};

type AllOptions = PlanOptions & PullOptions;

export interface TinyHub {
	server: HubServer;
	/** What the server has; may be changed. */
	repositories: Record<string, HubRepository>;
	/** A folder of this test. */
	folder: string;
	/** Folder of the repository in the cache. */
	cached: string;
	lockFile: string;
	/** Milliseconds of every pause that was asked for; none was waited for. */
	pauses: number[];
	settings(env?: Record<string, string>): HubSettings;
	options(more?: AllOptions): AllOptions;
	/** Plans and pulls NAME. */
	fetchModel(more?: AllOptions): Promise<LockedModel>;
	/** "PATH STATE" of every locked file. */
	verify(): Promise<string[]>;
	/** Names of the files that are not whole. */
	partials(): Promise<string[]>;
	/** Requests for large files. */
	stored(): HubServer["log"];
	/** Sends half of the weights and cuts the connection, `times` times. */
	breakOff(times: number): void;
	close(): Promise<void>;
}

/** Starts a server and makes a folder. */
export async function tinyHub(): Promise<TinyHub> {
	const folder = await mkdtemp(join(tmpdir(), "kintsugi-hub-"));
	const repositories: Record<string, HubRepository> = { [NAME]: { files: FILES, licence: "apache-2.0" } };
	const server = await hubServer(repositories);
	const pauses: number[] = [];
	const cache = join(folder, "cache");
	const cached = join(cache, `models--${NAME.replace("/", "--")}`);
	const lockFile = join(folder, "kintsugi.lock.json");
	const settings: TinyHub["settings"] = (env = {}) =>
		hubSettings({ HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: cache, HF_HOME: folder, ...env });
	const options: TinyHub["options"] = (more = {}) => ({
		settings: settings(),
		lockFile,
		wait: async (milliseconds) => void pauses.push(milliseconds),
		...more,
	});
	const hub: TinyHub = {
		server,
		repositories,
		folder,
		cached,
		lockFile,
		pauses,
		settings,
		options,
		async fetchModel(more) {
			const all = options(more);
			return pull(await planPull(NAME, all), all);
		},
		verify: async () => (await verifyModels({ settings: settings(), lockFile })).map(({ path, state }) => `${path} ${state}`),
		partials: async () => (await readdir(join(cached, "blobs"))).filter((name) => name.endsWith(".kintsugi-incomplete")),
		stored: () => server.log.filter(({ host }) => host === "storage"),
		breakOff(times) {
			let left = times;
			server.fault((request, response, path) => {
				if (!path.includes("signature=") || left === 0) return false;
				left--;
				const from = Number(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0);
				const rest = WEIGHTS.subarray(from);
				const range = `bytes ${from}-${WEIGHTS.length - 1}/${WEIGHTS.length}`;
				response.writeHead(from > 0 ? 206 : 200, { "content-length": rest.length, ...(from > 0 ? { "content-range": range } : {}) });
				response.write(rest.subarray(0, rest.length / 2), () => setTimeout(() => response.destroy(), 20));
				return true;
			});
		},
		async close() {
			await server.close();
			await rm(folder, { recursive: true });
		},
	};
	return hub;
}

/** The message of the KintsugiError that the work must end with. */
export async function refusal(work: Promise<unknown>): Promise<string> {
	const error = await work.then(
		() => undefined,
		(e: unknown) => e,
	);
	expect(error).toBeInstanceOf(KintsugiError);
	return (error as KintsugiError).message;
}
