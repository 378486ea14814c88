/** @file A server that speaks the part of the Hub's API that a download uses, with faults on demand. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubRepository {
	readonly files: Readonly<Record<string, Uint8Array | string>>;
	/** As in the model card. */
	readonly licence?: string;
	readonly gated?: boolean;
	/** The commit before this one. */
	readonly parent?: HubRepository;
}

/** What a file of at least this size is on the Hub: kept outside git, named by its sha256, served by another host. */
const LFS_FROM = 1000;

/** Answers a request in place of the server; true where it did. */
export type Fault = (request: IncomingMessage, response: ServerResponse, path: string) => boolean | Promise<boolean>;

export interface HubServer {
	readonly endpoint: string;
	/** The other host, to which large files are redirected. */
	readonly storage: string;
	/** Every request in order: method, host, path, Range and Authorization. */
	readonly log: { host: "hub" | "storage"; path: string; range?: string; authorization?: string }[];
	/** Commit of a repository. */
	commit(name: string): string;
	/** Puts another answer before all others; the last one set is asked first. */
	fault(fault: Fault): void;
	close(): Promise<void>;
}

const bytesOf = (content: Uint8Array | string): Buffer => Buffer.from(content as Uint8Array);
const sha256 = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");
const gitHash = (content: Uint8Array) => createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

/** The commit stands for the content, as git's does. */
const commitOf = ({ files }: HubRepository): string => {
	const hash = createHash("sha1");
	for (const [path, content] of Object.entries(files)) hash.update(path).update(bytesOf(content));
	return hash.digest("hex");
};

const atRevision = (repository: HubRepository | undefined, revision: string): HubRepository | undefined =>
	repository === undefined || revision === "main" || revision === commitOf(repository)
		? repository
		: atRevision(repository.parent, revision);

/** Entries a page of the list of files: few, so that the second page is asked for. */
const PAGE = 5;

/** Starts the server on the loopback interface. `repositories` may change between requests. */
export async function hubServer(repositories: Record<string, HubRepository>): Promise<HubServer> {
	const log: HubServer["log"] = [];
	const faults: Fault[] = [];

	const listen = async (host: "hub" | "storage") => {
		const server = createServer(async (request, response) => {
			const path = request.url ?? "/";
			const { range, authorization } = request.headers;
			log.push({ host, path, ...(range ? { range } : {}), ...(authorization ? { authorization } : {}) });
			for (const fault of [...faults].reverse()) if (await fault(request, response, path)) return;
			if (host === "hub") answer(request, response, new URL(path, "http://hub"));
			else sendStored(request, response, path);
		});
		await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
		return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
	};
	const storage = await listen("storage");
	const hub = await listen("hub");

	function answer(request: IncomingMessage, response: ServerResponse, url: URL): ServerResponse {
		const [, name = "", rest = ""] = /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(.*)$/.exec(url.pathname) ?? [];
		if (!repositories[name]) return fail(response, 401, "RepoNotFound");
		const [action, revision, ...path] = rest.split("/").map(decodeURIComponent);
		const repository = atRevision(repositories[name], revision);
		if (!repository) return fail(response, 404, "RevisionNotFound");
		const commit = commitOf(repository);
		if (action === "revision") {
			const files = Object.keys(repository.files).map((rfilename) => ({ rfilename }));
			const cardData = repository.licence ? { license: repository.licence } : undefined;
			const gated = repository.gated ? "auto" : false;
			return json(response, {
				_id: "1",
				id: name,
				sha: commit,
				siblings: files,
				gated,
				private: false,
				cardData,
				lastModified: "2024-01-01T00:00:00.000Z",
			});
		}
		if (repository.gated && !request.headers.authorization) return fail(response, 401, "GatedRepo");
		if (action === "tree") return sendTree(response, url, repository);
		const content = repository.files[path.join("/")];
		if (content === undefined) return fail(response, 404, "EntryNotFound");
		const bytes = bytesOf(content);
		response.setHeader("x-repo-commit", commit);
		if (bytes.length < LFS_FROM) {
			response.setHeader("etag", `"${gitHash(bytes)}"`);
			return sendRange(request, response, bytes);
		}
		response.setHeader("x-linked-etag", `"${sha256(bytes)}"`);
		response.setHeader("x-linked-size", bytes.length);
		return response.writeHead(302, { location: `${storage.url}/${name}/${commit}/${path.join("/")}?signature=secret` }).end();
	}

	function sendTree(response: ServerResponse, url: URL, { files }: HubRepository): ServerResponse {
		const all = Object.entries(files).map(([path, content]) => {
			const bytes = bytesOf(content);
			if (bytes.length < LFS_FROM) return { type: "file", path, size: bytes.length, oid: gitHash(bytes) };
			const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 134 };
			return { type: "file", path, size: bytes.length, oid: gitHash(Buffer.from(lfs.oid)), lfs };
		});
		const folders = [...new Set(Object.keys(files).flatMap((path) => path.split("/").slice(0, -1)))];
		const entries = [...folders.map((path) => ({ type: "directory", path, size: 0, oid: "0".repeat(40) })), ...all];
		const from = Number(url.searchParams.get("cursor") ?? 0);
		if (from + PAGE < entries.length) {
			const next = new URL(url.pathname + url.search, hub.url);
			next.searchParams.set("cursor", String(from + PAGE));
			response.setHeader("link", `<${next.href}>; rel="next"`);
		}
		return json(response, entries.slice(from, from + PAGE));
	}

	function sendStored(request: IncomingMessage, response: ServerResponse, path: string): ServerResponse {
		const [, name = "", commit = "", file = ""] = /^\/([^/]+\/[^/]+)\/([^/]+)\/([^?]*)/.exec(path) ?? [];
		const content = atRevision(repositories[name], commit)?.files[decodeURIComponent(file)];
		if (content === undefined) return fail(response, 404, "EntryNotFound");
		return sendRange(request, response, bytesOf(content));
	}

	return {
		endpoint: hub.url,
		storage: storage.url,
		log,
		commit: (name) => commitOf(repositories[name]),
		fault: (fault) => faults.push(fault),
		async close() {
			for (const { server } of [hub, storage]) {
				server.closeAllConnections();
				await new Promise((closed) => server.close(closed));
			}
		},
	};
}

export function sendRange(request: IncomingMessage, response: ServerResponse, bytes: Buffer): ServerResponse {
	const [, from] = /^bytes=(\d+)-/.exec(request.headers.range ?? "") ?? [];
	response.setHeader("accept-ranges", "bytes");
	if (from === undefined)
		return response.writeHead(200, { "content-length": bytes.length }).end(request.method === "HEAD" ? undefined : bytes);
	const start = Number(from);
	if (start >= bytes.length) return response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
	const [, to = String(bytes.length - 1)] = /-(\d+)$/.exec(request.headers.range ?? "") ?? [];
	const end = Math.min(Number(to), bytes.length - 1);
	const part = bytes.subarray(start, end + 1);
	return response.writeHead(206, { "content-length": part.length, "content-range": `bytes ${start}-${end}/${bytes.length}` }).end(part);
}

export function fail(response: ServerResponse, status: number, code: string, headers: Record<string, string> = {}): ServerResponse {
	return response
		.writeHead(status, { "x-error-code": code, "content-type": "application/json", ...headers })
		.end(JSON.stringify({ error: code }));
}

const json = (response: ServerResponse, value: unknown): ServerResponse =>
	response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
