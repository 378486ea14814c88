/** @file `kintsugi/autodiff`: gradients of ONNX graphs as ONNX graphs. Needs no runtime. */
export { type CheckOptions, type CheckResult, checkVjp, type Runner } from "./check.ts";
export { type GradientGraph, type GradientGraphOptions, gradientGraph } from "./gradient-graph.ts";
export { appendLoss, type Loss, type LossGradientOptions, type LossOptions, lossGradientGraph, TOP_K } from "./losses.ts";
export { cotangentName, gradientName, type VjpOptions, vjp } from "./vjp.ts";
