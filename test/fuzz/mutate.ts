/** @file The input with number `index` of a seed: one model, damaged one to three times. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { type Random, random } from "../../src/tensor/random.ts";
import { BLIND, WIRE } from "./mutate-bytes.ts";
import { MODEL } from "./mutate-model.ts";
import type { Seed } from "./seeds.ts";

export interface Mutant {
	bytes: Uint8Array;
	/** What was done to which model. */
	story: string;
}

const decode = (seed: Seed) => fromBinary(ModelProtoSchema, seed.bytes);

function structured(base: Seed, other: Seed, r: Random): Mutant {
	const model = decode(base);
	const done = Array.from({ length: 1 + r.int(3) }, () => r.pick(Object.keys(MODEL)));
	for (const name of done) MODEL[name](model, r, decode(other));
	return { bytes: toBinary(ModelProtoSchema, model), story: done.join(", ") };
}

function bytewise(base: Seed, other: Seed, r: Random): Mutant {
	const table = r.uniform() < 0.6 ? WIRE : BLIND;
	const done = Array.from({ length: 1 + r.int(2) }, () => r.pick(Object.keys(table)));
	const bytes = done.reduce((b, name) => table[name](b, r, other.bytes), base.bytes);
	return { bytes, story: done.join(", ") };
}

/** Deterministic: the same seeds, seed and index give the same bytes. */
export function mutant(seeds: readonly Seed[], seed: number, index: number): Mutant {
	const r = random("fuzz", seed, index);
	const [base, other] = [r.pick(seeds), r.pick(seeds)];
	const { bytes, story } = r.uniform() < 0.55 ? structured(base, other, r) : bytewise(base, other, r);
	return { bytes, story: `${base.name}: ${story}` };
}
