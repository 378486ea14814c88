import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { canonicalJson, digest } from "./digest.ts";
import { openStore } from "./store.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "kintsugi-store-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const KEY = "ab12";
const files = new Map([["0.png", new Uint8Array([1, 2, 3])]]);

describe("canonical JSON", () => {
	it("does not depend on the order of the keys, drops undefined, and keeps the order of lists", () => {
		expect(canonicalJson({ b: [2, 1], a: { d: undefined, c: 1 } })).toBe('{"a":{"c":1},"b":[2,1]}');
		expect(digest({ a: 1, b: 2 })).toBe(digest({ b: 2, a: 1 }));
		expect(digest([1, 2])).not.toBe(digest([2, 1]));
	});
});

describe("artifact store", () => {
	it("gives back data and files, also after it was opened again", async () => {
		const store = await openStore(folder);
		expect(await store.get(KEY)).toBeUndefined();
		await store.put(KEY, "canvas", { n: 1 }, files);
		const artifact = await (await openStore(folder)).get<{ n: number }>(KEY);
		expect(artifact?.data).toEqual({ n: 1 });
		expect([...readFileSync(artifact?.files.get("0.png") ?? "")]).toEqual([1, 2, 3]);
		expect(store.damaged()).toBe(0);
	});

	const damages: [string, (artifact: string) => void][] = [
		["a file is cut", (a) => truncateSync(join(a, "0.png"), 2)],
		["a byte of a file differs", (a) => writeFileSync(join(a, "0.png"), new Uint8Array([1, 2, 4]))],
		["a file is missing", (a) => rmSync(join(a, "0.png"))],
		["the manifest is cut", (a) => truncateSync(join(a, "artifact.json"), 20)],
		["the manifest is missing", (a) => rmSync(join(a, "artifact.json"))],
		[
			"a value in the manifest differs",
			(a) => {
				const path = join(a, "artifact.json");
				writeFileSync(path, readFileSync(path, "utf8").replace('"n":1', '"n":2'));
			},
		],
	];
	it.each(damages)("is damaged and removed when %s", async (_name, damage) => {
		const store = await openStore(folder);
		await store.put(KEY, "canvas", { n: 1 }, files);
		damage(join(folder, "ab", KEY));
		expect(await store.get(KEY)).toBeUndefined();
		expect(store.damaged()).toBe(1);
		await store.put(KEY, "canvas", { n: 1 }, files);
		expect((await store.get(KEY))?.data).toEqual({ n: 1 });
	});

	it("removes what a killed process left half written", async () => {
		mkdirSync(join(folder, "tmp-dead"));
		await openStore(folder);
		expect(readdirSync(folder)).toEqual([]);
	});
});
