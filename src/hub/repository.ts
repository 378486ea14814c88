/** @file What the Hub says about one repository: commit, licence, files with sizes and hashes. */
import { listFiles, modelInfo } from "@huggingface/hub";
import { z } from "zod";
import { KintsugiError } from "../errors.ts";
import type { HubRequest } from "./request.ts";
import { type RetryOptions, withRetries } from "./retry.ts";

export interface RemoteFile {
	/** With slashes, relative to the repository. */
	readonly path: string;
	readonly size: number;
	/** Name of the blob in the cache: its sha256 if it is a large file, else git's own hash (sha1) of it. */
	readonly etag: string;
}

export interface Repository {
	readonly name: string;
	/** What was asked for: a branch, tag or commit. */
	readonly revision: string;
	/** 40 hexadecimal digits. */
	readonly commit: string;
	/** As the model card names it; undefined where it says nothing. */
	readonly licence?: string;
	/** Whether its owner wants a licence to be accepted before. */
	readonly gated: boolean;
	readonly files: readonly RemoteFile[];
}

/** ORG/NAME, as the Hub allows it. */
export const REPOSITORY = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;
export const COMMIT = /^[0-9a-f]{40}$/;

/** More files than any model has: an answer that never ends must end. */
const MOST_FILES = 100_000;

const info = z.object({
	sha: z.string().regex(COMMIT),
	gated: z.union([z.boolean(), z.string()]).default(false),
	cardData: z
		.object({ license: z.union([z.string(), z.array(z.string())]).optional(), license_name: z.string().optional() })
		.nullish()
		.catch(undefined),
});

/** A path that stays inside the folder it is joined to, on every system. */
export const insidePath = z
	.string()
	.refine((path) => /^[^\\:\0]+$/.test(path) && path.split("/").every((part) => !["", ".", ".."].includes(part)));
const size = z.int().nonnegative();
const entry = z.discriminatedUnion("type", [
	z.object({ type: z.literal("directory") }),
	z.object({
		type: z.literal("file"),
		path: insidePath,
		size,
		oid: z.string().regex(COMMIT),
		lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size }).optional(),
	}),
]);

export interface RepositoryOptions extends Pick<RetryOptions, "attempts" | "wait" | "signal" | "onRetry"> {
	endpoint: string;
	request: HubRequest;
}

/** Asks the Hub for a revision (`main` unless told) and its files. Throws `model` where it refuses or answers nonsense. */
export async function readRepository(
	name: string,
	{ revision = "main", endpoint: hubUrl, request, ...retry }: RepositoryOptions & { revision?: string },
): Promise<Repository> {
	const client = { hubUrl, fetch: (input: string | URL | Request, init?: RequestInit) => withRetries(() => request(input, init), retry) };
	const where = `${hubUrl}/${name}`;
	try {
		const { sha, gated, cardData } = info.parse(await modelInfo({ name, revision, additionalFields: ["sha", "cardData"], ...client }));
		const files: RemoteFile[] = [];
		for await (const found of listFiles({ repo: { type: "model", name }, revision: sha, recursive: true, ...client })) {
			const file = entry.parse(found);
			if (file.type === "file") files.push({ path: file.path, size: file.lfs?.size ?? file.size, etag: file.lfs?.oid ?? file.oid });
			if (files.length > MOST_FILES) throw new Error(`more than ${MOST_FILES} files`);
		}
		const licence = licenceOf(cardData ?? {});
		return { name, revision, commit: sha, gated: Boolean(gated), files, ...(licence ? { licence } : {}) };
	} catch (cause) {
		if (cause instanceof KintsugiError || (cause instanceof Error && cause.name === "AbortError")) throw cause;
		const found = cause instanceof z.ZodError ? `${cause.issues[0].path.join(".")}: ${cause.issues[0].message}` : String(cause);
		throw new KintsugiError(
			"model",
			{ where, expected: "the Hub's description of a repository", found, fix: "check HF_ENDPOINT and the network" },
			{ cause },
		);
	}
}

/** `other` only says that license_name has the name. */
function licenceOf({ license, license_name: own }: { license?: string | string[] | undefined; license_name?: string | undefined }) {
	const named = [license ?? []].flat().filter((one) => one !== "other" || own === undefined);
	return [...named, ...(own === undefined ? [] : [own])].join(", ");
}
