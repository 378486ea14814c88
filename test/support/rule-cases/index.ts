/** @file Random cases of every operator that has a rule. */
import { activation } from "./activation.ts";
import type { RuleCases } from "./arbitraries.ts";
import { elementwise } from "./elementwise.ts";
import { indexing } from "./indexing.ts";
import { linalg } from "./linalg.ts";
import { movement } from "./movement.ts";
import { reductions } from "./reductions.ts";
import { windows } from "./windows.ts";

/** By the keys of `RULES`. */
export const RULE_CASES: RuleCases = { ...elementwise, ...activation, ...linalg, ...windows, ...reductions, ...movement, ...indexing };
