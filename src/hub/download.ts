/** @file One large file from the Hub: continued where it broke off, and put into place only when its hash is right. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { KintsugiError } from "../errors.ts";
import { fileSize } from "./cache.ts";
import { type HubRequest, networkFailure } from "./request.ts";
import { type RetryOptions, Transient, withRetries } from "./retry.ts";

export interface Download {
	url: string;
	/** Where it goes; until it is whole it lies beside that as `*.kintsugi-incomplete`. */
	path: string;
	size: number;
	/** sha256, or git's hash of a small file. */
	etag: string;
}

export interface DownloadOptions extends RetryOptions {
	request: HubRequest;
	/** Bytes that are there. */
	onBytes?: ((bytes: number) => void) | undefined;
}

/** Ending of files that are not whole; not the one of huggingface_hub, which would write into the same file. */
const PARTIAL = ".kintsugi-incomplete";

/**
 * Downloads a file and gives its sha256. A file that was begun is continued with a Range request. Throws `model` where the
 * content is not what the etag says (the file is removed), and after several failures without progress. After any other
 * failure, a full disk too, what has arrived is kept.
 */
export async function download(what: Download, { request, onBytes, ...retry }: DownloadOptions): Promise<string> {
	const partial = what.path + PARTIAL;
	await mkdir(dirname(partial), { recursive: true });
	await withRetries((progressed) => fetchRest(what, partial, { request, onBytes, progressed }), retry);
	const hashes = await hashesOf(partial, what.size);
	if (hashes[what.etag.length === 64 ? "sha256" : "git"] !== what.etag) {
		await rm(partial, { force: true });
		throw new KintsugiError("model", {
			where: what.url,
			expected: `content with the hash ${what.etag}`,
			found: `sha256 ${hashes.sha256}`,
			fix: "the download was removed; run the same command again, and choose another HF_ENDPOINT if that does not help",
		});
	}
	await rename(partial, what.path);
	return hashes.sha256;
}

interface Rest {
	request: HubRequest;
	onBytes: ((bytes: number) => void) | undefined;
	progressed: () => void;
}

/** One request for what is missing; throws `Transient` where it ends early. */
async function fetchRest({ url, size }: Download, partial: string, { request, onBytes, progressed }: Rest): Promise<void> {
	const have = (await fileSize(partial)) ?? 0;
	onBytes?.(Math.min(have, size));
	if (have === size && size > 0) return;
	const resume = have > 0 && have < size;
	const response = await request(url, { headers: { "accept-encoding": "identity", ...(resume ? { range: `bytes=${have}-` } : {}) } });
	// A server that knows no ranges sends everything, with status 200.
	const continued = resume && response.status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${have}-`) === true;
	let at = continued ? have : 0;
	const file = await open(partial, continued ? "a" : "w");
	try {
		for await (const chunk of bodyOf(response, url)) {
			if (at + chunk.length > size) throw await tooLong(file, url, size);
			await file.writeFile(chunk);
			at += chunk.length;
			progressed();
			onBytes?.(at);
		}
		await file.datasync();
	} finally {
		await file.close();
	}
	if (at < size) throw new Transient(refuse(url, `${size} bytes`, `${at}`, "run the same command again: it continues where it ended"));
}

async function* bodyOf(response: Response, url: string): AsyncGenerator<Uint8Array> {
	try {
		for await (const chunk of response.body ?? []) yield chunk as Uint8Array;
	} catch (error) {
		throw networkFailure(error, url);
	}
}

/** More than announced is another file: nothing of it may be continued later. */
async function tooLong(file: FileHandle, url: string, size: number): Promise<KintsugiError> {
	await file.truncate(0);
	return refuse(url, `${size} bytes, as the Hub's list of files says`, "more", "try again later, or choose another HF_ENDPOINT");
}

/** sha256 of a file, and the hash git gives it: sha1 of "blob SIZE\0" and the content. */
export async function hashesOf(path: string, size: number): Promise<{ sha256: string; git: string }> {
	const sha256 = createHash("sha256");
	const git = createHash("sha1").update(`blob ${size}\0`);
	for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
		sha256.update(chunk as Buffer);
		git.update(chunk as Buffer);
	}
	return { sha256: sha256.digest("hex"), git: git.digest("hex") };
}

const refuse = (where: string, expected: string, found: string, fix: string) => new KintsugiError("model", { where, expected, found, fix });
