/** @file Which .safetensors files of a folder make up a checkpoint: one file, or shards with their index. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { KintsugiError } from "../../errors.ts";
import { isPickle, PICKLE_FIX } from "../../hub/select.ts";
import type { ConstantTensor } from "../../onnx/graph.ts";
import { readJson } from "./config.ts";
import { readSafetensors } from "./safetensors.ts";

export interface CheckpointTensors {
	/** In order. */
	files: string[];
	/** By name, as byte ranges of the files; only headers were read. */
	tensors: Map<string, ConstantTensor>;
}

/**
 * The tensors of the checkpoint `stem` in a folder; the float16 variant where there is no other. Throws `model` where there is none, where
 * there are only pickles, and where shards and index disagree: shards that are missing, and every tensor that is not where the index says.
 */
export async function readCheckpoint(folder: string, stem: string): Promise<CheckpointTensors> {
	for (const variant of ["", ".fp16"]) {
		const single = join(folder, `${stem}${variant}.safetensors`);
		if (existsSync(single)) return { files: [single], tensors: await readSafetensors(single) };
		for (const index of [`${stem}.safetensors.index${variant}.json`, `${stem}${variant}.safetensors.index.json`]) {
			if (existsSync(join(folder, index))) return readShards(folder, index);
		}
	}
	throw await nothing(folder, stem);
}

async function readShards(folder: string, index: string): Promise<CheckpointTensors> {
	const where = join(folder, index);
	const { weight_map: map } = await readJson(where);
	const places = typeof map === "object" && map !== null ? Object.entries(map as Record<string, unknown>) : [];
	const odd = places.filter(([, shard]) => typeof shard !== "string" || basename(shard) !== shard || !shard.endsWith(".safetensors"));
	if (places.length === 0 || odd.length > 0) {
		const found = odd.length > 0 ? odd.map(([name, shard]) => `${name}: ${JSON.stringify(shard)}`).join(", ") : "none";
		throw mismatch(where, "a weight_map from tensors to .safetensors files beside it", found);
	}
	const shards = [...new Set(places.map(([, shard]) => shard as string))].sort();
	const files = shards.map((shard) => join(folder, shard));
	const missing = shards.filter((_, i) => !existsSync(files[i]));
	if (missing.length > 0) throw mismatch(where, `the shards ${shards.join(", ")}`, `none called ${missing.join(", ")}`);

	const tensors = new Map<string, ConstantTensor>();
	const home = new Map<string, string[]>();
	for (const [i, file] of files.entries()) {
		for (const [name, tensor] of await readSafetensors(file)) {
			home.set(name, [...(home.get(name) ?? []), shards[i]]);
			tensors.set(name, tensor);
		}
	}
	const told = new Map(places as [string, string][]);
	const faults = [...new Set([...told.keys(), ...home.keys()])].sort().flatMap((name) => {
		const found = home.get(name) ?? [];
		return found.length === 1 && found[0] === told.get(name)
			? []
			: [`${name} in ${found.join(" and ") || "no shard"}, not ${told.get(name) ?? "in the index"}`];
	});
	if (faults.length > 0) throw mismatch(where, "every tensor in the shard that the index names", faults.join("; "));
	return { files, tensors };
}

const mismatch = (where: string, expected: string, found: string) =>
	new KintsugiError("model", { where, expected, found, fix: "download or save the checkpoint again, all its files from one version" });

async function nothing(folder: string, stem: string): Promise<KintsugiError> {
	const pickles = (await readdir(folder).catch(() => [])).filter(isPickle).sort();
	return new KintsugiError("model", {
		where: folder,
		expected: `${stem}.safetensors`,
		found: pickles.length > 0 ? `only pickles: ${pickles.join(", ")}` : "no such file",
		fix: pickles.length > 0 ? PICKLE_FIX : "check the model's folder, or save the model in the safetensors format",
	});
}
