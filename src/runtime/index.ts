/** @file Running graphs on ONNX Runtime. */
export { graphKey, type SessionCache, sessionCache } from "./cache.ts";
export { type CheckedDirection, type CheckGradientOptions, checkGradient, type GradientCheck } from "./check-gradient.ts";
export { DEVICES, type Device } from "./device.ts";
export { type GradientFile, type GradientFileOptions, type GradientStage, gradientPath, writeGradientFile } from "./gradient-file.ts";
export { readModelFile, writeModelFile } from "./model-file.ts";
export { openSession, type Session, type SessionOptions, type SessionOutput, type SessionValue, type Tensors } from "./session.ts";
export { shapeRuntime } from "./shape-runtime.ts";
