/** @file `kintsugi/onnx`: ONNX models as data. Needs no runtime and no file system. */
export * from "./builder.ts";
export { compose, rename } from "./compose.ts";
export { constantNumbers, constantOf, constantTensor, elementSize } from "./elements.ts";
export { type FreezeOptions, freeze } from "./freeze.ts";
export * from "./graph.ts";
export { infer, type StaticGraph, type StaticValue } from "./infer.ts";
export { prune } from "./prune.ts";
export { type ReadOptions, readModel } from "./read.ts";
export type { ShapeRuntime } from "./shape-runtime.ts";
export { upgrade } from "./upgrade.ts";
export type { ByteSource } from "./wire.ts";
export { type ExternalPlace, type WriteOptions, writeModel } from "./write.ts";
