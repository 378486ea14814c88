import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { golden } from "../../test/golden/tensors.ts";
import { openTokenizer } from "./tokenizer.ts";

test.each(["inpaint/tokenizer", "clip-tokenizer"])(
	"%s gives the ids of transformers: empty, padded and cut texts, capitals, spaces and accents",
	async (name) => {
		const folder = golden(`diffusers/${name}`);
		const { prompts, input_ids: ids } = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
		const { dims, data } = (await openTokenizer(folder)).encode(prompts);
		expect(dims).toEqual([prompts.length, 12]);
		expect(Array.from(data, Number)).toEqual(ids.flat());
	},
);

test("a missing folder is told", async () => {
	await expect(openTokenizer(golden("nowhere"))).rejects.toMatchObject({ code: "model" });
});
