/** @file Operators of ONNX written in jax-js, an implementation of automatic differentiation that shares nothing with this one. */
import type { JaxOperator } from "./context.ts";
import { elementwise } from "./elementwise.ts";
import { layers } from "./layers.ts";
import { movement } from "./movement.ts";

export { type JaxResult, runJax } from "./context.ts";

/** By the keys of `RULES`. Not here: Resize and GridSample, which jax-js has not. */
export const JAX_OPERATORS: Readonly<Record<string, JaxOperator>> = { ...elementwise, ...layers, ...movement };
