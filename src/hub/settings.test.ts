import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hubSettings } from "./settings.ts";

let home = "";
beforeEach(async () => {
	home = await mkdtemp(join(tmpdir(), "kintsugi-settings-"));
});
afterEach(() => rm(home, { recursive: true }));

describe("hubSettings", () => {
	it("finds the cache where Python's huggingface_hub has it", () => {
		const cache = (env: Record<string, string>) => hubSettings(env).cache;
		expect(cache({})).toBe(join(homedir(), ".cache/huggingface/hub"));
		expect(cache({ XDG_CACHE_HOME: "/xdg" })).toBe("/xdg/huggingface/hub");
		expect(cache({ XDG_CACHE_HOME: "/xdg", HF_HOME: "/hf" })).toBe("/hf/hub");
		expect(cache({ HF_HOME: "~/hf" })).toBe(join(homedir(), "hf/hub"));
		expect(cache({ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/old");
		expect(cache({ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" })).toBe("/new");
	});

	it("finds the token in the environment or where a login left it", async () => {
		expect(hubSettings({ HF_HOME: home })).not.toHaveProperty("token");
		await writeFile(join(home, "token"), "hf_file\n");
		expect(hubSettings({ HF_HOME: home }).token).toBe("hf_file");
		expect(hubSettings({ HF_HOME: home, HF_TOKEN: " hf_env " }).token).toBe("hf_env");
		await writeFile(join(home, "other"), "hf_other");
		expect(hubSettings({ HF_HOME: home, HF_TOKEN_PATH: join(home, "other") }).token).toBe("hf_other");
	});

	it("never shows a token that cannot be sent", () => {
		for (const token of ["hf_one\nhf_two", "hf_\u00fcber"]) {
			expect(() => hubSettings({ HF_HOME: home, HF_TOKEN: token })).toThrow(/^HF_TOKEN: expected one word .*, found something else; copy/);
		}
	});

	it("reads endpoint and offline", () => {
		const read = (env: Record<string, string>) => hubSettings({ HF_HOME: home, ...env });
		expect(read({})).toMatchObject({ endpoint: "https://huggingface.co", offline: false });
		expect(read({ HF_ENDPOINT: "http://mirror.local/hf/" }).endpoint).toBe("http://mirror.local/hf");
		for (const value of ["1", "ON", "yes", "true"]) expect(read({ HF_HUB_OFFLINE: value }).offline).toBe(true);
		expect(read({ TRANSFORMERS_OFFLINE: "1" }).offline).toBe(true);
		expect(read({ HF_HUB_OFFLINE: "0" }).offline).toBe(false);
		for (const wrong of ["mirror", "ftp://mirror", "https://me:secret@mirror"]) {
			expect(() => read({ HF_ENDPOINT: wrong })).toThrow(/^HF_ENDPOINT: expected the URL of a Hub(?!.*secret)/);
		}
	});
});
