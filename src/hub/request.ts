/** @file One request to the Hub: the token goes to the endpoint and nowhere else, and every refusal says what to do. */
import { KintsugiError } from "../errors.ts";
import { Transient } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

export type HubRequest = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/**
 * Makes the function that all requests go through. It resolves with a response that is ok; throws `Transient` for broken
 * connections and the statuses 408, 429 and 5xx, and `model` for everything else, above all when offline.
 */
export function hubRequest(settings: HubSettings, signal?: AbortSignal): HubRequest {
	const home = new URL(settings.endpoint).origin;
	return async (input, init = {}) => {
		const url = new URL(input instanceof Request ? input.url : input);
		if (settings.offline) {
			throw refuse(
				shown(url),
				"to read this without the network",
				"HF_HUB_OFFLINE set",
				"unset it, or pull the model while there is a network",
			);
		}
		const headers = new Headers(init.headers);
		// Some answers name another URL to go on with; a token must not follow there. Redirects are cut by fetch itself.
		headers.delete("authorization");
		if (settings.token && url.origin === home) headers.set("authorization", `Bearer ${settings.token}`);
		const response = await fetch(url, { ...init, headers, ...(signal ? { signal } : {}) }).catch((error: unknown) => {
			throw networkFailure(error, url);
		});
		if (response.ok) return response;
		await response.body?.cancel();
		throw refusal(response, url, settings);
	};
}

/** Codes of Node and undici for connections that may work the next time. */
const PASSING = new Set([
	"ECONNRESET",
	"ECONNREFUSED",
	"ECONNABORTED",
	"EPIPE",
	"ETIMEDOUT",
	"EAI_AGAIN",
	"EHOSTUNREACH",
	"ENETUNREACH",
	"ENETDOWN",
	"UND_ERR_SOCKET",
	"UND_ERR_CONNECT_TIMEOUT",
	"UND_ERR_HEADERS_TIMEOUT",
	"UND_ERR_BODY_TIMEOUT",
]);

/** The error of a failed fetch or of its body: an abort stays one, a broken connection becomes `Transient`. */
export function networkFailure(error: unknown, url: URL | string): Error {
	if (error instanceof Error && error.name === "AbortError") return error;
	const { cause } = error instanceof Error ? error : {};
	const { code = "", message = String(error) } = (cause ?? error) as { code?: string; message?: string };
	const failure = refuse(
		shown(url),
		"a connection",
		code === "ENOTFOUND" ? "no such host" : `${message || code}`,
		"check the network, a proxy (Node reads HTTPS_PROXY only with NODE_USE_ENV_PROXY=1) and HF_ENDPOINT; what has arrived is kept",
		error,
	);
	return PASSING.has(code) ? new Transient(failure) : failure;
}

function refusal(response: Response, url: URL, { endpoint, token }: HubSettings): Error {
	const { status, headers } = response;
	const where = shown(url);
	const code = headers.get("x-error-code") ?? "";
	const repository = /^\/(?:api\/models\/)?([^/]+\/[^/]+)/.exec(url.pathname)?.[1] ?? "";
	const found = `status ${status}${code ? ` ${code}` : ""}`;
	if (status === 429 || status === 408 || status >= 500) {
		const reason = status === 429 ? "too many requests" : "a fault of the server";
		const fix = `wait a while and run the same command again${status === 429 && !token ? "; HF_TOKEN raises the limit" : ""}`;
		return new Transient(refuse(where, "an answer", `${found} (${reason})`, fix), pauseAsked(headers));
	}
	if (code === "GatedRepo" || status === 403) {
		const gated = code === "GatedRepo";
		const account = token ? "with the account of your token, which may not read it yet" : "and set HF_TOKEN to a token of that account";
		const fix = `${gated ? "" : "if it is gated, "}accept the licence at ${endpoint}/${repository} ${account}`;
		return refuse(where, `access to ${repository}${gated ? ", which is gated" : ""}`, found, fix);
	}
	if (status === 401) {
		const fix = token
			? "check the name, and that HF_TOKEN is valid and may read it"
			: "check the name; for a private or gated repository set HF_TOKEN";
		return refuse(where, `a public repository ${repository}`, found, fix);
	}
	if (status === 404) {
		if (code === "RevisionNotFound") return refuse(where, `a branch, tag or commit of ${repository}`, found, "check --revision");
		return refuse(where, "a repository and file of the Hub", found, "check the name; a repository may also have been removed or renamed");
	}
	return refuse(where, "an answer", found, "check HF_ENDPOINT and try again later");
}

/** What Retry-After (seconds or a date) or the `t` of RateLimit asks for, in milliseconds. */
function pauseAsked(headers: Headers): number | undefined {
	const after = headers.get("retry-after");
	const seconds = after ?? /\bt=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1];
	if (seconds === undefined || seconds === null) return undefined;
	const pause = /^\d+$/.test(seconds) ? 1000 * Number(seconds) : Date.parse(seconds) - Date.now();
	return Number.isNaN(pause) ? undefined : Math.max(0, pause);
}

/** Without the query, which may hold a signature. */
const shown = (url: URL | string): string => {
	const { origin, pathname } = new URL(url);
	return origin + pathname;
};

const refuse = (where: string, expected: string, found: string, fix: string, cause?: unknown) =>
	new KintsugiError("model", { where, expected, found, fix }, cause === undefined ? {} : { cause });
