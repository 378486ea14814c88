/** @file What the environment says about the Hub. The variables are those of Python's huggingface_hub, so that both find the same cache and token. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { KintsugiError } from "../errors.ts";

export interface HubSettings {
	/** Without a slash at the end. */
	readonly endpoint: string;
	readonly token?: string;
	/** Nothing may be asked of the network. */
	readonly offline: boolean;
	/** Folder with one `models--ORG--NAME` a repository. */
	readonly cache: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = "https://huggingface.co";

/**
 * Reads HF_ENDPOINT, HF_TOKEN (or the file that `hf auth login` wrote), HF_HUB_OFFLINE, and HF_HUB_CACHE, HF_HOME or XDG_CACHE_HOME.
 * Throws `usage` for an endpoint that is no URL and for a token that cannot be sent; the token itself is never part of a message.
 */
export function hubSettings(env: Environment = process.env): HubSettings {
	const value = (name: string) => env[name] || undefined;
	const home = expanded(value("HF_HOME") ?? join(value("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface"));
	const cache = expanded(value("HF_HUB_CACHE") ?? value("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub"));
	const tokenFile = expanded(value("HF_TOKEN_PATH") ?? join(home, "token"));
	const token = (value("HF_TOKEN") ?? value("HUGGING_FACE_HUB_TOKEN") ?? textOf(tokenFile))?.trim();
	if (token && !/^[\x21-\x7e]+$/.test(token)) {
		throw usage(
			"HF_TOKEN",
			"one word of printable ASCII characters",
			"something else",
			"copy the token again from the settings of your account",
		);
	}
	return {
		endpoint: endpointOf(value("HF_ENDPOINT") ?? DEFAULT_ENDPOINT),
		offline: /^(1|on|yes|true)$/i.test(value("HF_HUB_OFFLINE") ?? value("TRANSFORMERS_OFFLINE") ?? ""),
		cache,
		...(token ? { token } : {}),
	};
}

function endpointOf(text: string): string {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "") return text.replace(/\/+$/, "");
	throw usage(
		"HF_ENDPOINT",
		"the URL of a Hub, without user name and password",
		url ? "another URL" : "no URL",
		`write it as ${DEFAULT_ENDPOINT}`,
	);
}

const expanded = (path: string): string => path.replace(/^~(?=$|[/\\])/, homedir());

function textOf(path: string): string | undefined {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return undefined;
	}
}

const usage = (where: string, expected: string, found: string, fix: string) => new KintsugiError("usage", { where, expected, found, fix });
