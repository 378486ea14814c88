import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KintsugiError } from "../errors.ts";
import { bundledModels } from "./bundled.ts";
import { type HashMemo, hashFile, hashFiles } from "./hash.ts";
import { packageRoot } from "./package-root.ts";
import { BUNDLED_MODELS } from "./registry.ts";
import { resolveModel } from "./resolve.ts";

let root = "";
const write = async (path: string, text: string) => {
	await mkdir(dirname(join(root, path)), { recursive: true });
	await writeFile(join(root, path), text);
	return join(root, path);
};
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "kintsugi-hub-"));
	await write("models/mini-clip/config.json", "{}");
	await write("models/mini-clip/onnx/vision_model.onnx", "weights");
	await write("models/mini-clip/README.md", "card");
});
afterEach(() => rm(root, { recursive: true }));

async function refusal(name: string) {
	const error = await resolveModel(name, { root }).then(
		() => undefined,
		(e) => e,
	);
	expect(error).toBeInstanceOf(KintsugiError);
	expect(error.code).toBe("model");
	return error.message as string;
}

describe("packageRoot", () => {
	it("is the same from the sources and from the build", async () => {
		await write("package.json", "{}");
		await mkdir(join(root, "dist/hub"), { recursive: true });
		for (const file of ["src/hub/package-root.ts", "dist/hub/package-root.js", "index.js"]) {
			expect(packageRoot(pathToFileURL(join(root, file)).href)).toBe(root);
		}
	});
});

describe("resolveModel", () => {
	it("finds a bundled model by name", async () => {
		const model = await resolveModel("mini-clip", { root });
		expect(model).toMatchObject({ name: "mini-clip", dir: join(root, "models/mini-clip"), layout: "transformers" });
		expect(model.hash).toMatch(/^[0-9a-f]{64}$/);
		expect(model).not.toHaveProperty("file");
	});

	it("finds folders and .onnx files by path, and hashes a copy like the original", async () => {
		const { hash } = await resolveModel("mini-clip", { root });
		await write("mine/config.json", "{}");
		await write("mine/onnx/vision_model.onnx", "weights");
		expect((await resolveModel(join(root, "mine"))).hash).toBe(hash);

		await write("pipe/model_index.json", "{}");
		await write("pipe/unet/model.safetensors", "w");
		expect(await resolveModel(join(root, "pipe"))).toMatchObject({ layout: "diffusers", dir: join(root, "pipe") });

		const file = await write("nets/net.onnx", "w");
		expect(await resolveModel(file)).toMatchObject({ layout: "onnx", file, dir: join(root, "nets") });
	});

	it("finds a LoRA by its file or its folder", async () => {
		const lora = await write("lcm/pytorch_lora_weights.safetensors", "w");
		const found = await resolveModel(join(root, "lcm"));
		expect(found).toMatchObject({ layout: "lora", file: lora, dir: join(root, "lcm") });
		const { hash } = found;
		const other = await write("mine/style.safetensors", "w");
		expect(await resolveModel(other)).toMatchObject({ layout: "lora", file: other });
		expect((await resolveModel(lora)).hash).toBe(hash);
	});

	it("changes the hash with weights, configuration and external data, not with the card", async () => {
		const hashes = [(await resolveModel("mini-clip", { root })).hash];
		await write("models/mini-clip/README.md", "another card");
		expect((await resolveModel("mini-clip", { root })).hash).toBe(hashes[0]);
		await write("models/mini-clip/config.json", '{"a":1}');
		hashes.push((await resolveModel("mini-clip", { root })).hash);
		await write("models/mini-clip/onnx/vision_model.onnx", "Weights");
		hashes.push((await resolveModel("mini-clip", { root })).hash);
		const net = await write("net.onnx", "w");
		hashes.push((await resolveModel(net)).hash);
		await write("net2.onnx", "other model");
		expect((await resolveModel(net)).hash).toBe(hashes[3]);
		await write("net.onnx_data", "big");
		hashes.push((await resolveModel(net)).hash);
		expect(new Set(hashes).size).toBe(5);
	});

	it("lists what there is when the name is unknown", async () => {
		const message = await refusal("clip-vit-large");
		for (const { name } of BUNDLED_MODELS) expect(message).toContain(name);
		expect(message).toContain("path of a model folder or .onnx file");
		expect(message).toContain("kintsugi models");
	});

	it("says what is missing or damaged", async () => {
		expect(await refusal("mini-ddpm")).toMatch(/mini-ddpm: expected the bundled model, found nothing; install the package again/);
		await write("models/mini-yolos/notes.txt", "x");
		expect(await refusal("mini-yolos")).toMatch(/expected config.json or model_index.json/);
		await write("models/mini-yolos/config.json", "{}");
		expect(await refusal("mini-yolos")).toMatch(/expected weights as .onnx or .safetensors, found none/);
		await write("models/mini-yolos/onnx/model.onnx", "");
		expect(await refusal("mini-yolos")).toMatch(/model.onnx: expected a complete file, found an empty one/);
		await write("models/mini-yolos/onnx/model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
		expect(await refusal("mini-yolos")).toMatch(/found a Git LFS pointer/);
		expect(await refusal(await write("net.pt", "x"))).toMatch(/expected a model folder or an .onnx file, found a pickle \(\.pt\); convert/);
	});
});

describe("hashes", () => {
	it("are sha256, and do not depend on the order of the files", async () => {
		const [a, b] = [await write("a", "abc"), await write("b", "")];
		expect(await hashFile(a)).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
		expect(await hashFiles([a, b])).toBe(await hashFiles([b, a]));
		expect(await hashFiles([a, b], { base: root })).not.toBe(await hashFiles([a, b]));
	});

	it("are remembered while size and time stay", async () => {
		const memo: HashMemo = new Map();
		const path = await write("a", "abc");
		const first = await hashFile(path, memo);
		memo.set(path, { ...(memo.get(path) ?? { size: 0, modified: 0 }), hash: "remembered" });
		expect(await hashFile(path, memo)).toBe("remembered");
		await write("a", "abd");
		await utimes(path, 1, 1);
		expect(await hashFile(path, memo)).not.toBe(first);
		expect(await hashFile(path, memo)).toBe(await hashFile(path));
	});
});

describe("bundledModels", () => {
	it("says where, how large and how good", async () => {
		await write("models/quality.json", '{"mini-clip":{"parameters":1300000,"measured":{"P@1":0.95}}}');
		const [clip, yolos] = await bundledModels({ root });
		expect(clip).toMatchObject({ name: "mini-clip", dir: join(root, "models/mini-clip"), bytes: 13, quality: { parameters: 1300000 } });
		expect(yolos).not.toHaveProperty("bytes");
	});

	it("does without quality.json, and names a broken one", async () => {
		expect((await bundledModels({ root }))[0]).not.toHaveProperty("quality");
		const path = await write("models/quality.json", "{ nonsense");
		await expect(bundledModels({ root })).rejects.toThrow(`${path}: expected a JSON object`);
	});
});
