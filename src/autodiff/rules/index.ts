/** @file All rules by operator, and the operators that end a path. */
import type { Rule } from "../rule.ts";
import { activation } from "./activation.ts";
import { attention } from "./attention.ts";
import { conv } from "./conv.ts";
import { elementwise } from "./elementwise.ts";
import { gridSampling } from "./grid-sample.ts";
import { indexing } from "./indexing.ts";
import { linalg } from "./linalg.ts";
import { localResponse } from "./lrn.ts";
import { movement } from "./movement.ts";
import { norm } from "./norm.ts";
import { pool } from "./pool.ts";
import { reduce } from "./reduce.ts";
import { resize } from "./resize.ts";

export const FAMILIES = {
	elementwise,
	activation,
	linalg,
	attention,
	conv,
	pool,
	norm,
	reduce,
	movement,
	indexing,
	resize,
	"grid-sample": gridSampling,
	lrn: localResponse,
} as const;

export const RULES: ReadonlyMap<string, Rule> = new Map(
	Object.values(FAMILIES).flatMap((family) => Object.entries(family as Record<string, Rule>)),
);

/** Operators whose derivative is zero or undefined: no gradient passes them, as in PyTorch. */
export const STOPS: ReadonlySet<string> = new Set([
	"And",
	"ArgMax",
	"ArgMin",
	"Bernoulli",
	"BitShift",
	"Ceil",
	"ConstantOfShape",
	"Equal",
	"EyeLike",
	"Floor",
	"Greater",
	"GreaterOrEqual",
	"IsInf",
	"IsNaN",
	"Less",
	"LessOrEqual",
	"NonMaxSuppression",
	"NonZero",
	"Not",
	"Or",
	"RandomNormalLike",
	"RandomUniformLike",
	"Range",
	"Round",
	"Shape",
	"Sign",
	"Size",
	"Xor",
]);

const CONTROL_FLOW = "control flow is not differentiated: its subgraphs have no static shapes";
const QUANTISED = "a quantised operator has a zero gradient almost everywhere";

/** Operators that are refused on purpose: why, and what to do. */
export const REFUSED: ReadonlyMap<string, { why: string; fix: string }> = new Map<string, { why: string; fix: string }>([
	...["If", "Loop", "Scan"].map(
		(op) => [op, { why: CONTROL_FLOW, fix: "export the model with fixed inputs, so that the exporter unrolls it" }] as const,
	),
	...["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"].map(
		(op) => [op, { why: QUANTISED, fix: "use the model's float32 export" }] as const,
	),
]);

/** Key of an operator in these tables. */
export const operatorKey = (op: string, domain: string): string => (domain === "" ? op : `${domain}:${op}`);
